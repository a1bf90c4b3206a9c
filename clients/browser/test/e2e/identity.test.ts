import assert from 'node:assert/strict';
import { cookiesOf, inBrowser, setUp, started } from './harness';

setUp();

inBrowser('the anonymous id is minted by the first message, kept in the widest cookie and in local storage', async ({ page, context, recorder }) => {
  recorder.page('/', '', { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
  await page.goto(recorder.url());
  await started(page);
  assert.deepEqual(await cookiesOf(context), {});

  await page.evaluate('tabard.track("a")');
  const [first] = await recorder.untilAccepted(1);
  assert.match(first!.anonymousId, /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
  const cookie = (await context.cookies()).find(({ name }) => name === 'ajs_anonymous_id')!;
  assert.equal(cookie.value, first!.anonymousId);
  assert.equal(cookie.domain, '.site.localhost');
  assert.equal(cookie.sameSite, 'Lax');
  assert.equal(cookie.path, '/');
  assert.ok(Math.abs(cookie.expires - Date.now() / 1000 - 365 * 86400) < 60);
  assert.equal(await page.evaluate('localStorage.ajs_anonymous_id'), JSON.stringify(first!.anonymousId));

  await page.reload();
  await started(page);
  await page.evaluate('tabard.track("b")');
  const [, second] = await recorder.untilAccepted(2);
  assert.equal(second!.anonymousId, first!.anonymousId);
});

inBrowser('traits of an anonymous visitor are attached to the later identify, another user starts afresh', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.identify({ plan: 'free' }); tabard.identify('u1', { email: 'a@example.com' }); tabard.identify('u2', { plan: 'pro' })`);
  const [, anonymous, first, second] = await recorder.untilAccepted(4);
  assert.deepEqual([anonymous!.userId, anonymous!.traits], [null, { plan: 'free' }]);
  assert.deepEqual([first!.userId, first!.traits], ['u1', { plan: 'free', email: 'a@example.com' }]);
  assert.deepEqual([second!.userId, second!.traits], ['u2', { plan: 'pro' }]);
  assert.equal(first!.anonymousId, anonymous!.anonymousId);
  assert.notEqual(second!.anonymousId, first!.anonymousId);
});

inBrowser('a message keeps the identity, page and content of its call', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`
    const properties = { list: [1] };
    tabard.track('before', properties);
    properties.list.push(2);
    history.pushState({}, '', '/elsewhere');
    tabard.identify('u1');
    tabard.track('after');
  `);
  const messages = await recorder.untilAccepted(4);
  const [before, after] = ['before', 'after'].map((event) => messages.find((message) => message.event === event)!);
  assert.equal(before!.userId, null);
  assert.deepEqual(before!.properties, { list: [1] });
  assert.equal(before!.context.page.path, '/');
  assert.equal(after!.userId, 'u1');
  assert.equal(after!.context.page.path, '/elsewhere');
});

inBrowser('reset forgets person and group and mints a new anonymous id at once', async ({ page, context, recorder }) => {
  recorder.page('/', `tabard.identify('u1', { a: 1 }); tabard.group('g1', { b: 1 })`);
  await page.goto(recorder.url());
  await started(page);
  const before = await cookiesOf(context);
  assert.deepEqual([before.ajs_user_id, before.ajs_group_id], ['u1', 'g1']);
  await page.evaluate('tabard.reset()');
  const after = await cookiesOf(context);
  assert.deepEqual([after.ajs_user_id, after.ajs_group_id], [undefined, undefined]);
  assert.ok(after.ajs_anonymous_id && after.ajs_anonymous_id !== before.ajs_anonymous_id);
  assert.deepEqual(await page.evaluate('[tabard.user().traits(), tabard.group().traits(), tabard.user().id()]'), [{}, {}, null]);
  await page.evaluate(`tabard.track('x')`);
  const [, , , last] = await recorder.untilAccepted(4);
  assert.deepEqual([last!.userId, last!.anonymousId], [null, after.ajs_anonymous_id]);
});

inBrowser('sub-domains agree: login on one is known on the other, and so is logout', async ({ context, recorder }) => {
  recorder.page('/');
  const shop = await context.newPage();
  const blog = await context.newPage();
  await shop.goto(recorder.url('/', 'shop.site.localhost'));
  await blog.goto(recorder.url('/', 'blog.site.localhost'));
  await Promise.all([started(shop), started(blog)]);
  await shop.evaluate(`tabard.identify('u1', { a: 1 })`);
  assert.deepEqual(await blog.evaluate('[tabard.user().id(), tabard.user().anonymousId()]'), await shop.evaluate('[tabard.user().id(), tabard.user().anonymousId()]'));
  await blog.evaluate(`tabard.identify({ b: 1 })`);
  await shop.evaluate(`tabard.reset()`);
  assert.deepEqual(await blog.evaluate('[tabard.user().id(), tabard.user().traits()]'), [null, {}]);
  assert.equal(await blog.evaluate('tabard.user().anonymousId()'), await shop.evaluate('tabard.user().anonymousId()'));
});

inBrowser('the cookie wins over a stale copy in local storage, and what the cookie lacks is restored from it', async ({ page, context, recorder }) => {
  recorder.page('/', `tabard.identify('u1')`);
  await page.goto(recorder.url());
  await started(page);
  const { ajs_anonymous_id: anonymousId } = await cookiesOf(context);
  await page.evaluate(`localStorage.ajs_anonymous_id = '"stale"'; localStorage.ajs_user_id = '"stale"'`);
  assert.deepEqual(await page.evaluate('[tabard.user().anonymousId(), tabard.user().id()]'), [anonymousId, 'u1']);
  await context.clearCookies();
  assert.deepEqual(await page.evaluate('[tabard.user().anonymousId(), tabard.user().id()]'), [anonymousId, 'u1']);
  assert.equal((await cookiesOf(context)).ajs_user_id, 'u1');
});

inBrowser('two tabs of one origin always agree', async ({ context, recorder }) => {
  recorder.page('/');
  const [one, two] = [await context.newPage(), await context.newPage()];
  await one.goto(recorder.url());
  await two.goto(recorder.url());
  await Promise.all([started(one), started(two)]);
  await one.evaluate(`tabard.identify('u1', { seen: 'one' })`);
  await two.evaluate(`tabard.track('in two')`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'in two'), 'the track of tab two');
  assert.equal(recorder.accepted().find(({ event }) => event === 'in two')!.userId, 'u1');
  await two.evaluate(`tabard.reset()`);
  assert.deepEqual(await one.evaluate('[tabard.user().id(), tabard.user().traits()]'), [null, {}]);
});

inBrowser('identity that a peer stored is read: quoted, and numbers of any length', async ({ page, context, recorder }) => {
  recorder.page('/');
  await context.addCookies([
    { name: 'ajs_anonymous_id', value: '%22from-peer%22', domain: '.site.localhost', path: '/' },
    { name: 'ajs_user_id', value: '12345678901234567890', domain: '.site.localhost', path: '/' },
  ]);
  await page.goto(recorder.url());
  const [message] = await recorder.untilAccepted(1);
  assert.deepEqual([message!.anonymousId, message!.userId], ['from-peer', '12345678901234567890']);
});

for (const cookie of ['', 'null'])
  inBrowser(`what a peer leaves of an anonymous visitor names nobody: null in local storage, ${cookie || 'no'} cookie`, async ({ page, context, recorder }) => {
    recorder.page('/plain', '', { snippet: '' });
    await page.goto(recorder.url('/plain'));
    await page.evaluate(`Object.assign(localStorage, { ajs_anonymous_id: '"a1"', ajs_user_id: 'null', ajs_group_id: 'null', ajs_user_traits: '{"plan":"free"}', ajs_group_properties: 'null' })`);
    const values = { ajs_anonymous_id: 'a1', ...(cookie && { ajs_user_id: cookie }) };
    await context.addCookies(Object.entries(values).map(([name, value]) => ({ name, value, domain: '.site.localhost', path: '/' })));
    recorder.page('/');
    await page.goto(recorder.url());
    const [view] = await recorder.untilAccepted(1);
    assert.deepEqual([view!.anonymousId, view!.userId], ['a1', null]);
    assert.equal(await page.evaluate('tabard.group().id()'), null);
    assert.equal((await cookiesOf(context)).ajs_user_id, values.ajs_user_id);
    await page.evaluate(`tabard.identify('u1', { email: 'a@example.com' })`);
    const [, identify] = await recorder.untilAccepted(2);
    assert.deepEqual([identify!.anonymousId, identify!.userId, identify!.traits], ['a1', 'u1', { plan: 'free', email: 'a@example.com' }]);
  });

inBrowser('a logout that keeps the anonymous id is known on the other sub-domain, of person and group', async ({ context, recorder }) => {
  recorder.page('/');
  const [shop, blog] = [await context.newPage(), await context.newPage()];
  await shop.goto(recorder.url('/', 'shop.site.localhost'));
  await started(shop);
  await shop.evaluate(`tabard.identify('u1', { a: 1 }); tabard.group('g1', { b: 1 })`);
  await blog.goto(recorder.url('/', 'blog.site.localhost'));
  await started(blog);
  await blog.evaluate(`tabard.identify('u1', { a: 1 }); tabard.group('g1', { b: 1 })`);
  const { ajs_anonymous_id: anonymousId } = await cookiesOf(context);
  await shop.evaluate('tabard.user().logout(); tabard.group().logout()');
  const known = '[tabard.user().id(), tabard.user().traits(), tabard.group().id(), tabard.group().traits(), tabard.user().anonymousId()]';
  assert.deepEqual(await blog.evaluate(known), [null, {}, null, {}, anonymousId]);
  assert.deepEqual(await shop.evaluate(known), [null, {}, null, {}, anonymousId]);
  const { tabard_sent: _, ...ids } = await cookiesOf(context);
  assert.deepEqual(ids, { ajs_anonymous_id: anonymousId });
});

inBrowser('stored values of another shape are taken for none', async ({ page, recorder, lines }) => {
  for (const odd of ['7', '"text"', '[1]', '{"a":1}', '{"a":[null,{"type":1}]}', 'true', '{broken']) {
    recorder.reset();
    recorder.page('/plain', '', { snippet: '' });
    recorder.page('/', `tabard.identify('u1', { plan: 'pro' })`);
    await page.goto(recorder.url('/plain'));
    await page.evaluate(`localStorage.clear(); for (const name of ['tabard_sent', 'ajs_group_properties', 'tabard:q:${recorder.writeKey}', ${odd.startsWith('{"') ? '' : `'ajs_user_traits'`}]) localStorage[name] = ${JSON.stringify(odd)}`);
    await page.goto(recorder.url());
    const [, identify] = await recorder.untilAccepted(2);
    assert.deepEqual([identify!.type, identify!.traits], ['identify', { plan: 'pro' }], odd);
    assert.deepEqual(await page.evaluate(`tabard.group().traits()`), odd.startsWith('{"') ? JSON.parse(odd) : {});
  }
  assert.deepEqual(lines.filter((line) => !line.includes('favicon')), []);
});

const DENIED = `
  for (const name of ['localStorage', 'sessionStorage'])
    Object.defineProperty(window, name, { get() { throw new DOMException('denied', 'SecurityError'); } });
  Object.defineProperty(Document.prototype, 'cookie', { get() { throw new DOMException('denied', 'SecurityError'); }, set() { throw new DOMException('denied', 'SecurityError'); } });
`;

inBrowser('with storage and cookies denied identity lives in the page and messages arrive', async ({ page, recorder, lines }) => {
  await page.addInitScript(DENIED);
  recorder.page('/', `tabard.identify('u1', { a: 1 }); tabard.track('x')`);
  await page.goto(recorder.url());
  const [view, identify, track] = await recorder.untilAccepted(3);
  assert.equal(view!.anonymousId, track!.anonymousId);
  assert.deepEqual([identify!.userId, track!.userId], ['u1', 'u1']);
  assert.deepEqual(lines.filter((line) => line.startsWith('error')), []);
});

inBrowser('with local storage full it works on, also across pages by its cookie, and leaves the site its keys', async ({ page, recorder, lines }) => {
  recorder.page('/plain', '', { snippet: '' });
  await page.goto(recorder.url('/plain'));
  await page.evaluate(`
    localStorage.setItem('test', 'of the site');
    for (let size = 4 << 20; size >= 1; size >>= 1) for (let i = 0; i < 3; i++) try { localStorage.setItem('fill' + size + i, 'x'.repeat(size)); } catch {}
  `);
  recorder.page('/', `tabard.identify('u1', { a: 1 })`);
  await page.goto(recorder.url());
  const [first] = await recorder.untilAccepted(2);
  await page.goto(recorder.url('/?again'));
  await recorder.until(() => recorder.accepted().length >= 3, 'the second page');
  const again = recorder.accepted().find(({ context }) => context.page.search === '?again')!;
  assert.deepEqual([again.anonymousId, again.userId], [first!.anonymousId, 'u1']);
  assert.equal(await page.evaluate(`localStorage.getItem('test')`), 'of the site');
  assert.deepEqual(lines.filter((line) => line.startsWith('error')), []);
});

inBrowser('a host of plain http without crypto.randomUUID gets ids too', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url('/', 'shop.example.test'));
  const [message] = await recorder.untilAccepted(1);
  assert.ok(message!.anonymousId.length >= 30);
  assert.equal(await page.evaluate('typeof crypto.randomUUID'), 'undefined');
});

for (const options of [{ disableClientPersistence: true }, { user: { persist: false } }])
  inBrowser(`${JSON.stringify(options)} keeps nothing on the machine`, async ({ page, context, recorder }) => {
    await recorder.configure(options);
    recorder.page('/', `tabard.identify('u1')`);
    await page.goto(recorder.url());
    const [view, identify] = await recorder.untilAccepted(2);
    assert.equal(view!.anonymousId, identify!.anonymousId);
    assert.deepEqual([await cookiesOf(context), await page.evaluate('localStorage.length')], [{}, 0]);
  });

inBrowser('options.anonymousId replaces the stored id, setAnonymousId mints one when given none', async ({ page, context, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.track('x', {}, { anonymousId: 'mine' })`);
  assert.equal((await cookiesOf(context)).ajs_anonymous_id, 'mine');
  const minted = await page.evaluate('tabard.setAnonymousId()');
  assert.notEqual(minted, 'mine');
  assert.equal((await cookiesOf(context)).ajs_anonymous_id, minted);
});

inBrowser('a cookie that a server set for this host alone gives way to a change of the identity', async ({ page, context, recorder }) => {
  for (const [name, value] of [['ajs_anonymous_id', 'anon-server'], ['ajs_user_id', 'u-old']] as const)
    await context.addCookies([{ name, value, url: recorder.url() }]);
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const ids = `[tabard.user().id(), tabard.user().anonymousId()]`;
  assert.deepEqual(await page.evaluate(ids), ['u-old', 'anon-server']);
  await page.evaluate(`tabard.identify('u-new', {})`);
  const [user, anonymous] = (await page.evaluate(ids)) as string[];
  assert.equal(user, 'u-new');
  assert.notEqual(anonymous, 'anon-server');
  await page.evaluate('tabard.reset()');
  await page.evaluate(`tabard.track('after')`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'after'), 'the track');
  const last = recorder.accepted().find(({ event }) => event === 'after')!;
  assert.equal(last.userId, null);
  assert.ok(![anonymous, 'anon-server'].includes(last.anonymousId));
  const kept = (await context.cookies()).map(({ name, domain }) => [name, domain]).sort();
  assert.deepEqual(kept, [['ajs_anonymous_id', '.site.localhost'], ['tabard_sent', '.site.localhost']]);
});

inBrowser('on plain http too ids are UUIDs of version 4; what is no id becomes none', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url('/', 'shop.test'));
  await started(page);
  assert.equal(await page.evaluate('isSecureContext'), false);
  const uuid = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/;
  assert.match((await page.evaluate('tabard.user().anonymousId()')) as string, uuid);
  assert.match((await page.evaluate('tabard.setAnonymousId({ a: 1 })')) as string, uuid);
  assert.equal(await page.evaluate('tabard.setAnonymousId(7)'), '7');
});

inBrowser('a call reads the cookies once, however much it asks of them', async ({ page, recorder }) => {
  await page.addInitScript(`{
    const { get, set } = Object.getOwnPropertyDescriptor(Document.prototype, 'cookie');
    window.reads = 0;
    Object.defineProperty(Document.prototype, 'cookie', { get() { window.reads++; return get.call(this); }, set(value) { set.call(this, value); } });
  }`);
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.identify('u1', { a: 1 })`);
  const readsOf = (code: string) => page.evaluate(`(() => { const before = reads; void (${code}); return reads - before; })()`);
  assert.equal(await readsOf(`tabard.track('x')`), 1);
  assert.equal(await readsOf(`tabard.page()`), 1);
  assert.equal(await readsOf(`tabard.user().id()`), 1);
  assert.equal(await readsOf(`tabard.user().anonymousId()`), 1);
  // Three cookies are written: the stamp of the identify among them, each read back once.
  assert.ok(((await readsOf(`tabard.identify('u2', { a: 1 })`)) as number) <= 4);
});

inBrowser('what the page itself did to the cookies between two calls of one task is seen by the second', async ({ page, recorder }) => {
  recorder.page('/', '', { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`{
    tabard.track('before');
    document.cookie = 'ajs_user_id=of-the-page;domain=.site.localhost;path=/';
    tabard.track('after');
    document.cookie = 'ajs_user_id=again;domain=.site.localhost;path=/';
    window.known = tabard.user().id();
  }`);
  const messages = await recorder.untilAccepted(2);
  assert.deepEqual(messages.map(({ userId }) => userId), [null, 'of-the-page']);
  assert.equal(await page.evaluate('known'), 'again');
});
