import assert from 'node:assert/strict';
import { cookiesOf, inBrowser, setUp, started } from './harness';

setUp();

inBrowser('queued calls are replayed in the order of their calls, with page and time of the call', async ({ page, recorder }) => {
  recorder.page(
    '/',
    `const at = Date.now();
     tabard.track('a'); tabard.identify('u1'); tabard.track('b'); history.pushState({}, '', '/moved'); tabard.page('Moved');
     tabard.track('c'); tabard.reset(); tabard.track('d'); window.queuedAt = at;`,
  );
  await page.goto(recorder.url());
  const messages = await recorder.untilAccepted(7);
  assert.deepEqual(
    messages.map(({ type, event, name, userId }) => [type, event ?? name, userId]),
    [
      ['page', undefined, null],
      ['track', 'a', null],
      ['identify', undefined, 'u1'],
      ['track', 'b', 'u1'],
      ['page', 'Moved', 'u1'],
      ['track', 'c', 'u1'],
      ['track', 'd', null],
    ],
  );
  assert.deepEqual([messages[1]!.context.page.path, messages[5]!.context.page.path], ['/', '/moved']);
  const queuedAt = (await page.evaluate('queuedAt')) as number;
  assert.ok(Math.abs(Date.parse(messages[1]!.timestamp) - queuedAt) < 50);
  assert.ok(messages[0]!.anonymousId !== messages[6]!.anonymousId);
});

inBrowser('script and settings come in one request and the first message is the second', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await recorder.untilAccepted(1);
  const paths = recorder.seen.map(({ method, path }) => `${method} ${path}`).filter((line) => line !== 'GET /favicon.ico');
  assert.deepEqual(paths, ['GET /', `GET /v1/analytics-js/snippet/${recorder.writeKey}/analytics.min.js`, 'POST /v1/p']);
});

inBrowser('a call is a simple request without credentials that carries key and sentAt in its body', async ({ page, recorder }) => {
  recorder.page('/');
  // Another origin than the page's, so that the browser applies the rules of CORS.
  recorder.page('/other', '', { snippet: recorder.snippet('tabard', recorder.url('', 'collect.example.test')) });
  await page.goto(recorder.url('/other'));
  await recorder.untilAccepted(1);
  const [call] = recorder.calls();
  assert.equal(call!.method, 'POST');
  assert.equal(call!.host.split(':')[0], 'collect.example.test');
  assert.equal(call!.headers['content-type'], 'text/plain;charset=UTF-8');
  assert.equal(call!.headers.authorization, undefined);
  assert.equal(call!.headers.cookie, undefined);
  const { writeKey, sentAt } = JSON.parse(call!.body) as Record<string, string>;
  assert.equal(writeKey, recorder.writeKey);
  assert.ok(Math.abs(Date.parse(sentAt!) - Date.now()) < 5000);
  assert.ok(!recorder.seen.some(({ method }) => method === 'OPTIONS'));
});

for (const [attribute, name] of [['data-global', 'tabard'], ['data-global-customerio-analytics-key', 'cioanalytics'], ['data-global-segment-analytics-key', 'analytics']] as const)
  inBrowser(`the script tag's ${attribute} chooses the global ${name}`, async ({ page, recorder }) => {
    recorder.page('/', '', { snippet: '', head: `<script async ${attribute}="${name}" src="/analytics.js/v1/${recorder.writeKey}/analytics.min.js"></script>` });
    await page.goto(recorder.url());
    await page.waitForFunction(`window.${name} && window.${name}.initialized`);
    await page.evaluate(`${name}.track('hello')`);
    await recorder.untilAccepted(1);
  });

inBrowser('a promise and a callback come after the answer and tell whether it was delivered', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const results = await page.evaluate(`Promise.all([
    tabard.track('a').then(({ delivered, attempts, reason, event }) => [delivered, attempts, reason, event.event]),
    new Promise((done) => tabard.page('Name', (ctx) => done([ctx.delivered, ctx.event.name]))),
    tabard.track().then(({ delivered, reason }) => [delivered, reason]),
    new Promise((done) => tabard.identify('u', { a: 1 }, {}, (ctx) => done(ctx.event.traits))),
  ])`);
  assert.deepEqual(results, [[true, 1, null, 'a'].map((value) => value ?? undefined), [true, 'Name'], [false, 'invalid'], { a: 1 }]);
});

inBrowser('page, screen, group and alias take all their forms', async ({ page, recorder }) => {
  recorder.page('/', '', { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`
    tabard.page('Docs', 'Index', { p: 1 }, { context: { app: 1 }, extra: 2, integrations: { X: false } });
    tabard.screen('Home', { s: 1 });
    tabard.group('g1', { size: 3 }); tabard.group({ more: 1 });
    tabard.identify('u1'); tabard.alias('u2'); tabard.alias('u2', 'u0');
  `);
  const [view, screen, group, again, , alias, aliasFrom] = await recorder.untilAccepted(7);
  assert.deepEqual([view!.name, (view as any).category, view!.properties.p, view!.properties.name, view!.properties.category, view!.properties.title], ['Index', 'Docs', 1, 'Index', 'Docs', 'Shop']);
  assert.deepEqual([view!.context.app, view!.context.extra, view!.integrations], [1, 2, { X: false }]);
  assert.deepEqual([screen!.name, screen!.properties, screen!.context.page.path], ['Home', { s: 1 }, '/']);
  assert.deepEqual([group!.groupId, group!.traits], ['g1', { size: 3 }]);
  assert.deepEqual([again!.groupId, again!.traits], ['g1', { size: 3, more: 1 }]);
  assert.deepEqual([alias!.userId, alias!.previousId], ['u2', 'u1']);
  assert.deepEqual([aliasFrom!.userId, aliasFrom!.previousId], ['u2', 'u0']);
});

inBrowser('options timestamp and messageId are the message\'s own', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.track('old', {}, { timestamp: new Date('2020-02-03T04:05:06Z'), messageId: 'mine-1' })`);
  const [, message] = await recorder.untilAccepted(2);
  assert.deepEqual([message!.timestamp, message!.messageId], ['2020-02-03T04:05:06.000Z', 'mine-1']);
});

inBrowser('listeners hear calls and deliveries; once hears one, off none, and one that throws harms nobody', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const heard = await page.evaluate(`(async () => {
    const heard = [];
    const note = (name) => (...args) => heard.push([name, ...args.slice(0, 2)]);
    const off = note('off');
    tabard.on('track', () => { throw new Error('of the site'); }).on('track', note('track')).once('track', note('once'));
    tabard.on('track', off).off('track', off).on('identify', note('identify')).on('reset', note('reset'));
    tabard.on('delivery_success', ({ event }) => event.type === 'page' || heard.push(['delivered', event.type]));
    await Promise.all([tabard.track('a', { x: 1 }), tabard.track('b'), tabard.identify('u', { t: 1 })]);
    tabard.reset();
    return heard;
  })()`);
  assert.deepEqual(heard, [
    ['track', 'a', { x: 1 }],
    ['once', 'a', { x: 1 }],
    ['track', 'b', {}],
    ['identify', 'u', { t: 1 }],
    ['delivered', 'track'],
    ['delivered', 'track'],
    ['delivered', 'identify'],
    ['reset'],
  ]);
});

inBrowser('middlewares and plugins change and drop messages, those queued before them too', async ({ page, recorder, lines }) => {
  recorder.page(
    '/',
    `tabard.track('secret', { email: 'a@example.com' });
     tabard.addSourceMiddleware(({ payload, next }) => { if (payload.obj.properties?.email) payload.obj.properties.email = 'removed'; next(payload); });
     tabard.addSourceMiddleware(({ payload, next }) => { if (payload.obj.event !== 'unwanted') next(payload); });
     tabard.addSourceMiddleware(async ({ payload, next }) => { await 0; if (payload.obj.event === 'fails') throw new Error('broken'); next(payload); });
     tabard.register({ name: 'enricher', type: 'enrichment', load: () => Promise.resolve(), track: (ctx) => { ctx.updateEvent('context.shop.id', 7); return ctx; } });
     tabard.track('unwanted');`,
  );
  await page.goto(recorder.url());
  await started(page);
  assert.deepEqual(await page.evaluate(`tabard.track('fails').then(({ reason }) => reason)`), 'invalid');
  assert.deepEqual(await page.evaluate(`tabard.track('unwanted').then(({ reason }) => reason)`), 'middleware');
  await page.evaluate(`tabard.track('last')`);
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'last'), 'the last track');
  assert.deepEqual(recorder.accepted().map(({ event, properties, context }) => [event, properties.email, context.shop?.id]), [
    [undefined, undefined, undefined],
    ['secret', 'removed', 7],
    ['last', undefined, 7],
  ]);
  assert.equal(lines.filter((line) => line.startsWith('warning')).length, 1);
});

inBrowser('a clicked link and a submitted form are tracked although the page goes away at once', async ({ page, recorder }) => {
  recorder.page('/', '', { body: '<a id="link" href="/next">x</a><form id="form" action="/next"><input name="q" value="1"><button>go</button></form>' });
  recorder.page('/next', '', { snippet: '' });
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.trackLink(document.querySelectorAll('a'), 'Clicked', (link) => ({ to: link.getAttribute('href') }))`);
  await page.click('#link');
  await page.waitForURL('**/next');
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'Clicked'), 'the click');
  assert.deepEqual(recorder.accepted().find(({ event }) => event === 'Clicked')!.properties, { to: '/next' });
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.trackForm(document.getElementById('form'), (form) => 'Sent ' + form.id)`);
  await page.click('button');
  await page.waitForURL('**/next?q=1');
  await recorder.until(() => recorder.accepted().some(({ event }) => event === 'Sent form'), 'the form');
});

inBrowser('context tells page, campaign, clicks asked for, language, zone, screen, agent and library', async ({ page, recorder }) => {
  await recorder.configure({ clickIds: ['gclid'] });
  recorder.page('/landing', '', { head: '<link rel="canonical" href="https://shop.example/canonical">' });
  await page.goto(recorder.url('/landing?utm_campaign=spring&utm_source=news+letter&utm_bad=%E0%A4&gclid=g1&fbclid=f1&btid=b1#top'));
  const [message] = await recorder.untilAccepted(1);
  const { context } = message!;
  assert.equal(context.page.url.split('?')[0], 'https://shop.example/canonical');
  assert.deepEqual([context.page.path, context.page.title, context.page.referrer], ['/canonical', 'Shop', '']);
  assert.ok(context.page.search.startsWith('?utm_campaign=spring'));
  assert.equal(context.campaign.name, 'spring');
  assert.equal(context.campaign.source, 'news letter');
  assert.deepEqual(context.campaign.clickIds, { gclid: 'g1' });
  assert.deepEqual(context.referrer, { id: 'b1', type: 'dataxu' });
  assert.deepEqual([context.locale, context.timezone], ['de-CH', 'Europe/Zurich']);
  assert.ok(context.screen.width > 0 && context.userAgent.includes('Chrome') && context.userAgentData.brands);
  assert.equal(context.library.name, 'tabard.js');

  await page.goto(recorder.url('/landing'));
  const [, later] = await recorder.untilAccepted(2);
  assert.equal(later!.context.campaign, undefined);
  assert.deepEqual(later!.context.referrer, { id: 'b1', type: 'dataxu' });

  await page.goto(recorder.url('/landing?urid=r2'));
  const [, , last] = await recorder.untilAccepted(3);
  assert.deepEqual(last!.context.referrer, { id: 'r2', type: 'millennial-media' });
  // As js-cookie spells the family's name: a published client finds it too.
  assert.deepEqual(JSON.parse((await cookiesOf(page.context()))['s%3Acontext.referrer']!), { id: 'r2', type: 'millennial-media' });
});

inBrowser('what the page has not is not in the context, not even as null', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  const [message] = await recorder.untilAccepted(1);
  assert.deepEqual(Object.keys(message!.context).sort(), ['library', 'locale', 'page', 'screen', 'timezone', 'userAgent', 'userAgentData']);
});

inBrowser('the query string identifies and tracks before the queued calls, unless switched off', async ({ page, recorder }) => {
  const query = '?ajs_aid=anon1&ajs_uid=u1&ajs_trait_plan=pro&ajs_event=Opened&ajs_prop_mail=7';
  recorder.page('/');
  await page.goto(recorder.url('/' + query));
  const [identify, track, view] = await recorder.untilAccepted(3);
  assert.deepEqual([identify!.userId, identify!.traits, identify!.anonymousId], ['u1', { plan: 'pro' }, 'anon1']);
  assert.deepEqual([track!.event, track!.properties, track!.userId], ['Opened', { mail: '7' }, 'u1']);
  assert.equal(view!.type, 'page');
  recorder.reset();
  await recorder.configure({ useQueryString: { uid: false } });
  recorder.page('/');
  await page.goto(recorder.url('/' + query.replace('u1', 'u2')));
  // What the first page had no answer for yet may come again; only the second page's messages are meant.
  const second = () => recorder.accepted().filter(({ context }) => context.page.search.includes('u2'));
  await recorder.until(() => second().length === 2, 'the second page');
  const [opened, last] = second();
  assert.deepEqual([opened!.event, last!.type, last!.userId], ['Opened', 'page', 'u1']);
});

inBrowser('spa: one page call per changed path or query, with its title and the URL before', async ({ page, recorder }) => {
  await recorder.configure({ spa: true });
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`history.pushState({}, '', '/two'); history.replaceState({}, '', '/two#x'); document.title = 'Two'`);
  await recorder.untilAccepted(2);
  await page.evaluate(`history.replaceState({}, '', '/two?q=1')`);
  await recorder.untilAccepted(3);
  await page.goBack();
  const messages = await recorder.untilAccepted(4);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual(recorder.accepted().map(({ context: { page: seen } }) => [seen.path, seen.search, seen.title]), [
    ['/', '', 'Shop'],
    ['/two', '', 'Two'],
    ['/two', '?q=1', 'Two'],
    ['/', '', 'Two'],
  ]);
  assert.equal(messages[1]!.context.page.previousUrl, recorder.url('/'));
});

inBrowser('identify and group refuse what cannot be JSON and an id that went wrong, that call alone', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const reasons = await page.evaluate(`(async () => {
    const ring = {}; ring.self = ring;
    const calls = [
      tabard.identify('u1', { ring }), tabard.identify({ big: 1n }), tabard.identify(NaN, { a: 1 }), tabard.group('g1', { ring }),
      tabard.group(NaN, { a: 1 }), tabard.track(''), tabard.track(NaN), tabard.track('x', { ring }),
    ];
    tabard.user().traits({ ring });
    return (await Promise.all(calls)).map(({ reason }) => reason);
  })()`);
  assert.deepEqual(reasons, Array(8).fill('invalid'));
  await page.evaluate(`tabard.identify('u2', { b: 1 }); tabard.group('g2', { c: 1 }); tabard.track('after')`);
  const [, identify, group, track] = await recorder.untilAccepted(4);
  assert.deepEqual([identify!.userId, identify!.traits], ['u2', { b: 1 }]);
  assert.deepEqual([group!.groupId, group!.traits, track!.event], ['g2', { c: 1 }, 'after']);
});

inBrowser('before the script is there calls give promises of their outcome, user() and group() answer, listeners chain', async ({ page, recorder }) => {
  recorder.page('/', `
    window.early = [
      tabard.user().id(), tabard.user().anonymousId(), tabard.user().traits(), tabard.group().traits(), tabard.group().id(),
      tabard.user().logout(), tabard.user().reset(), tabard.user().identify('x'), tabard.on('x', () => {}).once('y', () => {}) === tabard, tabard.emit('z') === tabard,
    ];
    window.outcome = Promise.all([tabard.track('early').then(({ delivered, event }) => [delivered, event.event]), tabard.identify('u1').then(({ event }) => event.userId), tabard.ready().then(() => 'ready')]);`);
  await page.goto(recorder.url());
  await started(page);
  assert.deepEqual(await page.evaluate('early'), [null, null, {}, {}, null, null, null, null, true, true]);
  assert.deepEqual(await page.evaluate('outcome'), [[true, 'early'], 'u1', 'ready']);
});

inBrowser('a message that a middleware breaks is refused alone; the others of its tick are sent', async ({ page, recorder }) => {
  recorder.page('/');
  recorder.fault = () => ({ status: 200 });
  await page.goto(recorder.url());
  await started(page);
  const outcomes = await page.evaluate(`(() => {
    tabard.optIn({ a: true });
    tabard.addSourceMiddleware(({ payload, next }) => {
      const { obj } = payload;
      if (obj.event === 'no context') delete obj.context;
      if (obj.event === 'no type') delete obj.type;
      if (obj.event === 'no JSON') obj.properties.self = obj;
      next(payload);
    });
    return Promise.all(['sound', 'no context', 'no type', 'no JSON', 'sound too'].map((name) => tabard.track(name)))
      .then((all) => all.map(({ delivered, reason }) => reason || delivered));
  })()`);
  assert.deepEqual(outcomes, [true, true, 'invalid', 'invalid', true]);
  const sent = recorder.sent().filter(({ type }) => type === 'track');
  assert.deepEqual(sent.map(({ event }) => event), ['sound', 'no context', 'sound too']);
  assert.ok(sent.every(({ context }) => context.consent.categoryPreferences.a));
});

inBrowser('what a site hands over neither throws into it nor rejects: callbacks, getters, revoked proxies', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const outcomes = await page.evaluate(`(() => {
    const odd = { get event() { throw Error('the getter') }, get a() { throw Error('the getter') } };
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return Promise.all([
      tabard.track('a', {}, () => { throw Error('of the site') }),
      tabard.track(odd), tabard.page('a', odd), tabard.track('a', odd), tabard.identify('u', odd),
      tabard.track(proxy), tabard.identify(proxy), tabard.page(proxy), tabard.group(proxy), tabard.alias('a', proxy),
    ]).then((all) => all.map(({ delivered, reason }) => reason || delivered));
  })()`);
  assert.deepEqual(outcomes, [true, ...Array(9).fill('invalid')]);
});

inBrowser('the rarer calls of the published clients: pageview and queryString send, what has nothing to do here gives the client', async ({ page, recorder }) => {
  recorder.page('/', `tabard.pageview('/queued')`, { snippet: recorder.snippet().replace(/[a-z]\.page\(\)/, '0') });
  await page.goto(recorder.url());
  await started(page);
  const same = await page.evaluate(`Promise.all([
    tabard.load('another-key', {}), tabard.addDestinationMiddleware('X', () => { throw Error('never') }),
    tabard.addIntegrationMiddleware(() => { throw Error('never') }), tabard.deregister('X'),
  ]).then((all) => all.map((each) => each === tabard))`);
  assert.deepEqual(same, [true, true, true, true]);
  await page.evaluate(`Promise.all([tabard.pageview('/there'), tabard.pageview(), tabard.queryString('?ajs_uid=u1&ajs_trait_plan=pro&ajs_event=Opened&ajs_prop_n=1')])`);
  const messages = await recorder.untilAccepted(5);
  assert.deepEqual(
    messages.map(({ type, event, userId, properties, traits }) => [type, event ?? properties?.path, userId, traits]),
    [
      ['page', '/queued', null, undefined],
      ['page', '/there', null, undefined],
      ['page', '/', null, undefined],
      ['identify', undefined, 'u1', { plan: 'pro' }],
      ['track', 'Opened', 'u1', undefined],
    ],
  );
  assert.equal(messages[1]!.context.page.path, '/there');
  assert.ok(recorder.sent().every((message: any) => message.writeKey === undefined || message.writeKey === recorder.writeKey));
});

inBrowser('useQueryString: false holds for queryString too', async ({ page, recorder }) => {
  await recorder.configure({ useQueryString: false });
  recorder.page('/');
  await page.goto(recorder.url('/?ajs_event=no'));
  await started(page);
  await page.evaluate(`tabard.queryString('?ajs_event=no')`);
  await page.evaluate(`tabard.track('yes')`);
  await recorder.untilAccepted(2);
  assert.deepEqual(recorder.sent().map(({ event }) => event), [undefined, 'yes']);
});

inBrowser('a visitor whom the AMP cache named is told as such, others are not', async ({ page, context, recorder }) => {
  recorder.page('/');
  for (const [value, amp] of [['amp-abc', { id: 'amp-abc' }], ['GA1.1.2', undefined]] as const) {
    recorder.seen.length = 0;
    await context.addCookies([{ name: '_ga', value, domain: '.site.localhost', path: '/' }]);
    await page.goto(recorder.url());
    await recorder.until(() => recorder.accepted().length > 0, 'the page');
    assert.deepEqual(recorder.accepted().at(-1)!.context.amp, amp);
  }
});
