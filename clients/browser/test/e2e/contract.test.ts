/** The parts of the analytics.js contract that sites and their snippets rely on beyond the calls themselves. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cookiesOf, inBrowser, setUp, started, withProfile } from './harness';
import type { Recorder } from './recorder';

setUp();

/** A queue as the published snippets build it: stubs that push their name and arguments, Segment's with the page behind. */
const publishedSnippet = (recorder: Recorder, global: string, noted: string): string => `
  window.${global} = [];
  ${global}.invoked = true;
  for (const method of ['page', 'track', 'identify', 'reset', 'on', 'ready'])
    ${global}[method] = (...args) => { ${global}.push([method, ...args${noted}]); return ${global}; };
  ${global}.load = (key, options) => {
    const script = document.createElement('script');
    script.async = true;
    script.setAttribute('data-global-${global === 'analytics' ? 'segment' : 'customerio'}-analytics-key', '${global}');
    script.src = '/${global === 'analytics' ? 'analytics.js/v1/' : 'v1/analytics-js/snippet/'}' + key + '/analytics.min.js';
    document.head.append(script);
    ${global}._loadOptions = options;
  };
  ${global}._writeKey = '${recorder.writeKey}';
  ${global}.load('${recorder.writeKey}', { integrations: { X: true } });
  ${global}.page();`;

const PAGE_OF_THE_MOMENT = `, { __t: 'bpc', c: null, p: location.pathname, u: location.href, s: location.search, t: document.title, r: document.referrer }`;

for (const [vendor, global, noted, pageOfTrack] of [
  ['Segment', 'analytics', PAGE_OF_THE_MOMENT, '/'],
  // This one does not note the page, so a queued call gets that of the replay.
  ['Customer.io', 'cioanalytics', '', '/moved'],
] as const)
  inBrowser(`a snippet in the form of ${vendor}'s starts this client, with its options and its queue in order`, async ({ page, recorder }) => {
    const calls = `${global}.track('a'); ${global}.identify('u1'); ${global}.track('b'); history.pushState({}, '', '/moved'); ${global}.reset(); ${global}.track('c')`;
    recorder.page('/', calls, { snippet: publishedSnippet(recorder, global, noted) });
    await page.goto(recorder.url());
    const messages = await recorder.untilAccepted(5);
    assert.deepEqual(
      messages.map(({ type, event, userId }) => [type, event, userId]),
      [['page', undefined, null], ['track', 'a', null], ['identify', undefined, 'u1'], ['track', 'b', 'u1'], ['track', 'c', null]],
    );
    assert.equal(messages[1]!.context.page.path, pageOfTrack);
    assert.deepEqual(messages[1]!.integrations, { X: true });
    assert.equal(await page.evaluate(`${global}.initialized`), true);
  });

inBrowser('user() and group() read and set: null clears, an empty object empties traits, identify adds', async ({ page, recorder }) => {
  recorder.page('/', `tabard.identify('u1', { a: 1 }); tabard.group('g1', { b: 1 })`);
  await page.goto(recorder.url());
  await started(page);
  const states = await page.evaluate(`(() => {
    const user = tabard.user(), group = tabard.group(), states = [];
    const note = () => states.push([user.id(), user.traits(), group.id(), group.traits()]);
    user.traits({ c: 2 }); group.traits(null); note();
    user.identify('u1', { d: 3 }); group.identify('g1', { e: 4 }); note();
    user.traits({}); user.id(null); group.id(7); note();
    return states;
  })()`);
  assert.deepEqual(states, [
    ['u1', { c: 2 }, 'g1', {}],
    ['u1', { c: 2, d: 3 }, 'g1', { e: 4 }],
    [null, {}, '7', { e: 4 }],
  ]);
});

inBrowser('properties url and path name the page in page calls alone; context.page of the options has the last word', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`
    tabard.page('Named', { url: 'https://given.example/x', path: '/x' });
    tabard.track('ordered', { url: 'https://product.example/1' }, { context: { page: { title: 'Given' } } });
    tabard.screen('Shown', { path: 'drawer' });
  `);
  const [, view, track, screen] = await recorder.untilAccepted(4);
  assert.deepEqual([view!.context.page.url, view!.context.page.path, view!.context.page.title], ['https://given.example/x', '/x', 'Shop']);
  assert.deepEqual([track!.context.page.url, track!.context.page.path, track!.context.page.title], [recorder.url(), '/', 'Given']);
  assert.deepEqual([screen!.context.page.path, screen!.properties.path], ['/', 'drawer']);
});

inBrowser('options.userId holds for one message; alias without a user is of the anonymous visitor', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  await page.evaluate(`tabard.alias('u9'); tabard.track('x', {}, { userId: 'other' }); tabard.track('y')`);
  const [view, alias, one, next] = await recorder.untilAccepted(4);
  assert.deepEqual([alias!.userId, alias!.previousId], ['u9', view!.anonymousId]);
  assert.deepEqual([one!.userId, next!.userId], ['other', null]);
});

inBrowser('ready comes after the plugins have loaded', async ({ page, recorder }) => {
  recorder.page('/');
  await page.goto(recorder.url());
  await started(page);
  const order = await page.evaluate(`(async () => {
    const order = [];
    const load = () => new Promise((done) => setTimeout(() => { order.push('loaded'); done(); }, 50));
    tabard.register({ name: 'slow', type: 'utility', load });
    await tabard.ready(() => order.push('ready'));
    return order;
  })()`);
  assert.deepEqual(order, ['loaded', 'ready']);
});

inBrowser('a browser shows the page again from its back/forward cache: one more page call in a spa', async ({ page, recorder }) => {
  await recorder.configure({ spa: true });
  recorder.page('/');
  await page.goto(recorder.url());
  await recorder.untilAccepted(1);
  await page.evaluate(`dispatchEvent(new PageTransitionEvent('pageshow', { persisted: false })); dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))`);
  await recorder.untilAccepted(2);
  await page.evaluate(`tabard.track('end')`);
  await recorder.untilAccepted(3);
  assert.deepEqual(recorder.accepted().map(({ type }) => type), ['page', 'page', 'track']);
});

for (const [options, userId, anonymousId] of [
  ['{ useQueryString: false }', null, undefined],
  ['{ useQueryString: { uid: /^u\\d$/, aid: /^never$/ } }', 'u1', undefined],
  ['{ useQueryString: { uid: /^x/ } }', null, 'anon1'],
] as const)
  inBrowser(`the query of a hash route counts; ${options} decides what of it`, async ({ page, recorder }) => {
    recorder.page('/', '', { snippet: recorder.snippet().replace(/([a-z]\.load\("[^"]+")\)/, `$1,${options})`) });
    await page.goto(recorder.url('/#/route?ajs_aid=anon1&ajs_uid=u1&ajs_trait_plan=pro'));
    await recorder.until(() => recorder.accepted().some(({ type }) => type === 'page'), 'the page call');
    const view = recorder.accepted().find(({ type }) => type === 'page')!;
    assert.equal(view.userId, userId);
    assert.equal(view.anonymousId === 'anon1', anonymousId === 'anon1');
    assert.equal(recorder.accepted().length, userId ? 2 : 1);
  });

inBrowser('cookies are written when something changes and once a day to renew their year, not with each call', async ({ page, context, recorder }) => {
  await page.addInitScript(`{
    const { get, set } = Object.getOwnPropertyDescriptor(Document.prototype, 'cookie');
    window.written = [];
    Object.defineProperty(Document.prototype, 'cookie', { get, set(text) { window.written.push(text.split('=')[0]); set.call(this, text); } });
  }`);
  recorder.page('/', `tabard.identify('u1')`);
  await page.goto(recorder.url());
  await started(page);
  await recorder.untilAccepted(2);
  await page.evaluate(`written.length = 0; for (let n = 0; n < 10; n++) tabard.track('n', { n })`);
  assert.deepEqual(await page.evaluate('written'), []);

  await page.evaluate(`{ const { now } = Date; Date.now = () => now() + 864e5; written.length = 0; tabard.track('tomorrow'); tabard.track('again') }`);
  assert.deepEqual(await page.evaluate('[...new Set(written)]'), ['ajs_anonymous_id', 'ajs_user_id']);
  assert.equal(await page.evaluate('written.length'), 4, 'each once, after one of this host alone is removed');
  assert.equal((await cookiesOf(context)).ajs_user_id, 'u1');
});

inBrowser('a browser that is closed and opened again knows its visitor and sends what it still had', async ({ recorder }) => {
  const profile = mkdtempSync(join(tmpdir(), 'tabard-profile-'));
  try {
    recorder.page('/');
    await withProfile(profile, async (page) => {
      await page.goto(recorder.url());
      await started(page);
      await page.evaluate(`tabard.identify('u1', { plan: 'pro' })`);
      await recorder.untilAccepted(2);
      recorder.fault = () => ({ status: 503 });
      await page.evaluate(`tabard.track('unanswered')`);
    });
    recorder.fault = undefined;
    await withProfile(profile, async (page) => {
      await page.goto(recorder.url());
      await recorder.until(() => recorder.accepted().some(({ event }) => event === 'unanswered'), 'what the closed browser had');
      await started(page);
      assert.deepEqual(await page.evaluate(`[tabard.user().id(), tabard.user().traits()]`), ['u1', { plan: 'pro' }]);
      assert.equal(await page.evaluate(`tabard.user().anonymousId()`), recorder.accepted()[0]!.anonymousId);
    });
  } finally {
    rmSync(profile, { recursive: true });
  }
});
