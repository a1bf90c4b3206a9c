import assert from 'node:assert/strict';
import { inBrowser, leave, setUp, started } from './harness';
import { messagesOf } from './recorder';

setUp();

inBrowser('what one tick makes goes in one request', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await recorder.untilAccepted(1);
  await page.evaluate(`for (const event of ['a', 'b', 'c']) tabard.track(event)`);
  await recorder.untilAccepted(4);
  const call = recorder.calls()[1]!;
  assert.equal(call.path, '/v1/b');
  const { sentAt, writeKey } = JSON.parse(call.body) as Record<string, string>;
  assert.ok(sentAt && writeKey === recorder.writeKey);
  assert.deepEqual(messagesOf(call.body).map(({ event }) => event), ['a', 'b', 'c']);
});

for (const status of [500, 503, 408, 429, 'drop'] as const)
  inBrowser(`${status} is tried again with the same messageId and a fresh sentAt`, async ({ page, recorder }) => {
    recorder.page('/');
    let refused = 0;
    recorder.fault = () => (refused++ < 2 ? { status } : undefined);
    await page.goto(recorder.url());
    await recorder.untilAccepted(1);
    const tries = recorder.calls();
    assert.equal(tries.length, 3);
    const [first, second, third] = tries.map(({ body }) => JSON.parse(body) as Record<string, string>);
    assert.equal(new Set([first!.messageId, second!.messageId, third!.messageId]).size, 1);
    assert.equal(new Set([first!.timestamp, second!.timestamp, third!.timestamp]).size, 1);
    assert.notEqual(first!.sentAt, second!.sentAt);
    // Chromium itself repeats a 408 on a kept connection, so the pauses are not ours alone.
    if (status === 408) return;
    const [pause, longer] = [tries[1]!.at - tries[0]!.at, tries[2]!.at - tries[1]!.at];
    assert.ok(pause >= 370, `first pause ${pause} ms`);
    assert.ok(longer >= 740, `second pause ${longer} ms`);
  });

inBrowser('Retry-After holds the whole queue; callers are told that their message waits', async ({ page, recorder }) => {
  recorder.page('/');
  let refused = 0;
  recorder.fault = () => (refused++ < 1 ? { status: 429, headers: { 'retry-after': '2' } } : undefined);
  await page.goto(recorder.url());
  await recorder.until(() => recorder.calls().length === 1 && recorder.calls()[0]!.status === 429, 'the refusal');
  await started(page);
  await page.waitForFunction(`Object.keys(localStorage).some((key) => key.startsWith('tabard:q:'))`);
  assert.deepEqual(await page.evaluate(`tabard.track('meanwhile').then(({ delivered, reason }) => [delivered, reason])`), [false, 'waiting']);
  await recorder.untilAccepted(2);
  const [first, second] = recorder.calls();
  assert.ok(second!.at - first!.at >= 1900, `${second!.at - first!.at} ms`);
  assert.equal(second!.path, '/v1/b');
});

inBrowser('another 4xx is dropped with one warning', async ({ page, recorder, lines }) => {
  recorder.page('/', `tabard.track('b')`);
  recorder.fault = () => ({ status: 400 });
  await page.goto(recorder.url());
  await started(page);
  await recorder.until(() => recorder.calls().length >= 1, 'the call');
  await page.evaluate(`Promise.all([tabard.track('c'), tabard.track('d')])`);
  const before = recorder.calls().length;
  await new Promise((resolve) => setTimeout(resolve, 900));
  assert.equal(recorder.calls().length, before);
  assert.equal(lines.filter((line) => line.includes('[tabard]')).length, 1, lines.join('\n'));
  assert.equal(await page.evaluate(`Object.keys(localStorage).filter((key) => key.startsWith('tabard:q:')).length`), 0);
});

inBrowser('a call just before navigation arrives, and so does one made while the page is hidden away', async ({ page, recorder }) => {
  recorder.page('/', `addEventListener('pagehide', () => tabard.track('in pagehide')); addEventListener('unload', () => tabard.track('in unload'))`);
  recorder.page('/next', '', { snippet: '' });
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  await leave(page, `tabard.track('before'); location = '/next'`);
  await recorder.until(() => ['before', 'in pagehide'].every((name) => recorder.accepted().some(({ event }) => event === name)), 'both tracks');
});

inBrowser('a request that a navigation cuts off arrives, and is not sent a second time by the page that goes', async ({ page, recorder }) => {
  recorder.page('/');
  recorder.page('/next', '', { snippet: '' });
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  recorder.fault = () => ({ status: 200, delayMs: 1500 });
  await page.evaluate(`void tabard.track('slow')`);
  await recorder.until(() => recorder.sent().some(({ event }) => event === 'slow'), 'the slow request');
  await leave(page, `location = '/next'`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'slow'), 'its answer');
  assert.equal(recorder.accepted().filter(({ event }) => event === 'slow').length, 1);
  assert.equal(recorder.sent().filter(({ event }) => event === 'slow').length, 1);
  const kept = (await page.evaluate(`localStorage['tabard:q:${recorder.writeKey}']`)) as string;
  assert.ok(kept.includes('slow'), 'nobody knows that it arrived: the next page with the client sends it again');
});

inBrowser('while nothing can be sent, what waits is stored once a tick, not with each call', async ({ page, context, recorder }) => {
  recorder.page('/');
  await page.addInitScript(`{
    const real = localStorage;
    window.stored = 0;
    const counted = new Proxy(real, {
      get: (target, name) => (typeof target[name] === 'function' ? target[name].bind(target) : target[name]),
      set: (target, name, value) => (String(name).startsWith('tabard:q:') && window.stored++, (target[name] = value), true),
      deleteProperty: (target, name) => delete target[name],
    });
    Object.defineProperty(window, 'localStorage', { value: counted });
    const { setItem } = Storage.prototype;
    Storage.prototype.setItem = function (name, value) { if (name.startsWith('tabard:q:')) window.stored++; setItem.call(real, name, value); };
  }`);
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  await context.setOffline(true);
  await page.evaluate(`tabard.track('first')`);
  const writes = await page.evaluate(`(async () => {
    const before = stored;
    const calls = [];
    for (let n = 0; n < 100; n++) { calls.push(tabard.track('n', { n })); for (let turn = 0; turn < 9; turn++) await null; }
    await Promise.all(calls);
    return stored - before;
  })()`);
  assert.ok((writes as number) >= 1 && (writes as number) <= 3, `${writes} writes`);
  assert.equal((await page.evaluate(`Object.values(JSON.parse(localStorage['tabard:q:${recorder.writeKey}'])).flat().length`)), 101);
  await context.setOffline(false);
});

inBrowser('offline messages are stored and sent when the line is back', async ({ page, context, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  await context.setOffline(true);
  const told = await page.evaluate(`tabard.track('offline').then(({ reason }) => reason)`);
  assert.equal(told, 'waiting');
  assert.ok((await page.evaluate(`localStorage['tabard:q:${recorder.writeKey}']`) as string).includes('offline'));
  await context.setOffline(false);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'offline'), 'the offline track');
  await page.waitForFunction(`JSON.stringify(Object.entries(localStorage)).includes('offline') === false`);
});

inBrowser('offline messages outlive their tab: the next page that is online sends them', async ({ context, recorder }) => {
  recorder.page('/', '', { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
  const first = await context.newPage();
  await first.goto(recorder.url());
  await started(first);
  await context.setOffline(true);
  await first.evaluate(`tabard.track('offline', { n: 1 })`);
  // The closing page may see the line come back: it gets no answer.
  recorder.fault = () => ({ status: 'drop' });
  await first.close();
  await context.setOffline(false);
  recorder.fault = undefined;
  assert.equal(recorder.accepted().length, 0);
  const next = await context.newPage();
  await next.goto(recorder.url());
  const [message] = await recorder.untilAccepted(1);
  assert.deepEqual([message!.event, message!.properties], ['offline', { n: 1 }]);
});

inBrowser('a page that is hidden sends at once and keeps what is unanswered until the answer', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  recorder.fault = () => ({ status: 200, delayMs: 400 });
  const keys = await page.evaluate(`(() => {
    Object.defineProperty(document, 'hidden', { value: true, configurable: true });
    tabard.track('hidden');
    return Promise.resolve().then(() => { document.dispatchEvent(new Event('visibilitychange', { bubbles: true })); return Object.keys(localStorage); });
  })()`);
  assert.ok((keys as string[]).includes(`tabard:q:${recorder.writeKey}`));
  await recorder.untilAccepted(2);
  await page.waitForFunction(`!localStorage['tabard:q:${recorder.writeKey}']`);
});

inBrowser('what is too much to outlive its page is sent by the next one, each message once', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  const burst = `for (let n = 0; n < 12; n++) tabard.track('large', { n, text: 'x'.repeat(15000) })`;
  await leave(page, `addEventListener('pagehide', () => { ${burst} }); location = '/?next'`);
  const large = () => recorder.accepted().filter(({ event }) => event === 'large').map(({ properties }) => properties.n);
  await recorder.until(() => large().length === 12, 'all twelve', 10_000);
  assert.deepEqual(large().sort((a, b) => Number(a) - Number(b)), Array.from({ length: 12 }, (_, n) => n));
  const last = recorder.calls().find(({ body }) => body.includes('"large"'))!;
  assert.ok(Buffer.byteLength(last.body) < 64 << 10, `${Buffer.byteLength(last.body)} bytes with keepalive`);
});

inBrowser('no more than four requests are under way at once', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  const answer: (() => void)[] = [];
  let [open, most] = [0, 0];
  recorder.fault = () => {
    most = Math.max(most, ++open);
    return { status: 200, until: new Promise<void>((go) => answer.push(() => (open--, go()))) };
  };
  for (let n = 0; n < 7; n++) {
    await page.evaluate(`tabard.track('n', { n: ${n} }); new Promise((done) => setTimeout(done))`);
    await recorder.until(() => open === Math.min(n + 1, 4), 'the request');
  }
  for (let n = 0; n < 4; n++) answer.shift()!();
  await recorder.until(() => open > 0, 'the rest');
  while (answer.length) answer.shift()!();
  await recorder.untilAccepted(8);
  assert.equal(most, 4);
});

inBrowser('a message larger than collectors usually take is sent with a warning', async ({ page, recorder, lines }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  recorder.fault = () => ({ status: 200 });
  await page.evaluate(`tabard.track('usual', { text: 'x'.repeat(30e3) })`);
  assert.deepEqual(lines.filter((line) => line.includes('[tabard]')), []);
  assert.equal(await page.evaluate(`tabard.track('large', { text: 'x'.repeat(33e3) }).then(({ delivered }) => delivered)`), true);
  assert.match(lines.filter((line) => line.includes('[tabard]')).join(), /^warning: \[tabard\] large \d+$/);
});

inBrowser('what a dead server did not take the next page delivers, two tabs opened at once do so once', async ({ context, recorder }) => {
  recorder.page('/', '', { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
  recorder.fault = () => ({ status: 'drop' });
  const first = await context.newPage();
  await first.goto(recorder.url());
  await started(first);
  await first.evaluate(`tabard.track('kept', { n: 1 })`);
  await first.close();
  recorder.fault = undefined;
  recorder.seen.length = 0;
  const [one, two] = [await context.newPage(), await context.newPage()];
  await Promise.all([one.goto(recorder.url()), two.goto(recorder.url())]);
  await Promise.all([started(one), started(two)]);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'kept'), 'the kept track');
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(recorder.sent().filter(({ event }) => event === 'kept').length, 1);
  assert.equal(await one.evaluate(`localStorage['tabard:q:${recorder.writeKey}']`), undefined);
});

inBrowser('stored messages of one write key are never sent under another', async ({ page, recorder }) => {
  recorder.page('/plain', '', { snippet: '' });
  await page.goto(recorder.url('/plain'));
  await page.evaluate(`localStorage['tabard:q:other'] = JSON.stringify({ tab: [{ type: 'track', event: 'theirs', messageId: 'm', context: {} }] })`);
  recorder.page('/');
  await page.goto(recorder.url('/'));
  await recorder.untilAccepted(1);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(!recorder.sent().some(({ event }) => event === 'theirs'));
});

inBrowser('a message over 500 kB is dropped, large ones are split into requests under 450 kB', async ({ page, recorder }) => {
  recorder.fault = () => ({ status: 200 });
  recorder.page('/');
  await page.goto(recorder.url());
  await recorder.untilAccepted(1);
  const reason = await page.evaluate(`tabard.track('huge', { text: 'x'.repeat(500001) }).then((ctx) => ctx.reason)`);
  assert.equal(reason, 'too_large');
  await page.evaluate(`Promise.all(Array.from({ length: 30 }, (_, i) => tabard.track('large', { i, text: 'é'.repeat(15000) })))`);
  const messages = await recorder.untilAccepted(31);
  assert.equal(messages.filter(({ event }) => event === 'large').length, 30);
  assert.ok(recorder.calls().every(({ body }) => Buffer.byteLength(body) < 455_000));
});

inBrowser('the stored queue is bounded to 200 messages, the newest', async ({ page, context, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await recorder.untilAccepted(1);
  await context.setOffline(true);
  await page.evaluate(`Promise.all(Array.from({ length: 250 }, (_, i) => tabard.track('n', { i })))`);
  const kept = JSON.parse((await page.evaluate(`localStorage['tabard:q:${recorder.writeKey}']`)) as string) as Record<string, { properties: { i: number } }[]>;
  const numbers = Object.values(kept).flat().map(({ properties }) => properties.i);
  assert.deepEqual([numbers.length, numbers[0], numbers.at(-1)], [200, 50, 249]);
  await context.setOffline(false);
});

inBrowser('without fetch keepalive a beacon carries what is left when the page goes', async ({ page, recorder }) => {
  await page.addInitScript(`delete Request.prototype.keepalive`);
  recorder.page('/');
  recorder.page('/next', '', { snippet: '' });
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  await page.evaluate(`addEventListener('beforeunload', () => tabard.track('by beacon'))`);
  await page.goto(recorder.url('/next'));
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'by beacon'), 'the beacon');
});

inBrowser('a clock that is set back during a pause does not lengthen it', async ({ page, recorder }) => {
  recorder.page('/');
  let refused = 0;
  recorder.fault = () => (refused++ < 1 ? { status: 500 } : undefined);
  await page.goto(recorder.url());
  await recorder.until(() => recorder.calls()[0]?.status === 500, 'the refusal');
  await page.evaluate(`{ const { now } = Date; Date.now = () => now() - 36e5 }`);
  await recorder.untilAccepted(1);
});

inBrowser('a burst of more than the queue holds is sent before anything is dropped', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(1);
  await page.evaluate(`for (let n = 0; n < 2500; n++) tabard.track('n', { n })`);
  await recorder.untilAccepted(2501, 15_000);
});

inBrowser('a collector that does not answer ten times in a row is told once in the console, and the message stays', async ({ page, recorder, lines }) => {
  recorder.page('/');
  await page.addInitScript(`{ const { setTimeout: later } = window; window.setTimeout = (run, ms, ...rest) => later(run, ms >= 350 && ms <= 75e3 ? 1 : ms, ...rest); const { now } = performance; performance.now = () => now.call(performance) * 1e5; }`);
  recorder.fault = () => ({ status: 503 });
  await page.goto(recorder.url());
  await recorder.until(() => recorder.calls().length >= 14, 'many tries', 10_000);
  assert.equal(lines.filter((line) => line.includes('[tabard]')).length, 1, lines.join());
  recorder.fault = undefined;
  await recorder.untilAccepted(1);
});

inBrowser('a tab opened while another sends what an earlier page left does not send it too', async ({ context, recorder }) => {
  recorder.page('/', '', { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
  recorder.fault = () => ({ status: 'drop' });
  const first = await context.newPage();
  await first.goto(recorder.url());
  await started(first);
  await first.evaluate(`tabard.track('kept')`);
  await first.close();
  const [one, two] = [await context.newPage(), await context.newPage()];
  // What the closed page sent on its way out arrives before what is counted.
  await one.waitForTimeout(500);
  recorder.seen.length = 0;
  recorder.fault = () => ({ status: 200, delayMs: 2000 });
  await one.goto(recorder.url());
  await recorder.until(() => recorder.sent().length === 1, 'the first tab to send it');
  await one.waitForTimeout(600);
  await two.goto(recorder.url());
  await started(two);
  await recorder.until(() => recorder.accepted().length === 1, 'its answer');
  await two.waitForTimeout(300);
  assert.equal(recorder.sent().length, 1);
});

const SLOW = `tabard.addSourceMiddleware(async ({ payload, next }) => {
  await new Promise((go) => setTimeout(go, 400));
  payload.obj.properties = { ...payload.obj.properties, email: undefined, passed: (payload.obj.properties.passed || 0) + 1 };
  next(payload);
})`;

for (const host of ['shop.site.localhost', 'shop.example.test'])
  inBrowser(`a message still inside a middleware when its page goes is taken through those of the next page, and sent once, on ${host}`, async ({ page, recorder }) => {
    recorder.page('/', SLOW, { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
    await page.goto(recorder.url('/', host));
    await started(page);
    await leave(page, `addEventListener('pagehide', () => tabard.track('in pagehide')); tabard.track('before', { email: 'a@example.com' }); location = '/?next'`);
    await started(page);
    await recorder.untilAccepted(2);
    await page.waitForTimeout(900);
    const sent = recorder.sent();
    assert.deepEqual(sent.map(({ event, properties, raw }: any) => [event, properties, raw]).sort(), [
      ['before', { passed: 1 }, undefined],
      ['in pagehide', { passed: 1 }, undefined],
    ]);
    assert.equal(sent.find(({ event }) => event === 'before')!.context.page.search, '');
    assert.equal(await page.evaluate(`localStorage['tabard:q:${recorder.writeKey}']`), undefined);
  });

inBrowser('a message that waits for a plugin to load when the page goes arrives from the next page, once', async ({ page, recorder }) => {
  const plugin = (load: string) => `tabard.register({ name: 'p', type: 'enrichment', load: () => ${load}, track: (ctx) => ctx.updateEvent('context.shop', 7) })`;
  const bare = { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') };
  recorder.page('/', plugin('new Promise(() => {})'), bare);
  recorder.page('/next', plugin('0'), bare);
  await page.goto(recorder.url());
  await started(page);
  await leave(page, `tabard.track('waits'); setTimeout(() => { location = '/next' }, 50)`);
  await started(page);
  await recorder.untilAccepted(1);
  await page.waitForTimeout(300);
  assert.deepEqual(recorder.sent().map(({ event, context }) => [event, context.shop]), [['waits', 7]]);
});

inBrowser('what a middleware drops is not stored; what is inside it at an optOut is not sent, not even after optIn', async ({ page, recorder }) => {
  recorder.page('/', `tabard.addSourceMiddleware(async ({ payload, next }) => { await new Promise((go) => setTimeout(go, 200)); if (payload.obj.event !== 'dropped') next(payload); })`, { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
  await page.goto(recorder.url());
  await started(page);
  const reason = page.evaluate(`tabard.track('dropped').then(({ reason }) => reason)`);
  assert.equal(await reason, 'middleware');
  await page.evaluate(`document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))`);
  assert.equal(await page.evaluate(`localStorage['tabard:q:${recorder.writeKey}']`), undefined);
  const out = page.evaluate(`{ const call = tabard.track('out'); tabard.optOut(); tabard.optIn(); call.then(({ reason }) => reason) }`);
  assert.equal(await out, 'consent');
  assert.equal(recorder.sent().length, 0);
});
