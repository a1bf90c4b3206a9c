/** Compiled, never run: each documented form is accepted by the types, and what is wrong is not. */
import { AnalyticsBrowser, type Ctx, type Plugin, type UserTraits } from '../src/index';

export const documentedForms = async (): Promise<void> => {
  const analytics = AnalyticsBrowser.load({ writeKey: 'wk', host: 'https://events.example' }, { spa: true, clickIds: ['gclid'] });
  const traits: UserTraits = { email: 'a@example.com', createdAt: new Date(), own: [1] };
  const callback = (ctx: Ctx): void => void ctx.delivered;

  await analytics.identify('u', traits, { integrations: { All: true }, force: true }, callback);
  await analytics.identify(7, traits, callback);
  await analytics.identify(traits);
  await analytics.identify(traits, callback);
  await analytics.identify(null, traits);
  await analytics.identify('u', callback);
  await analytics.track('e', { a: 1 }, { timestamp: new Date(), messageId: 'm' }, callback);
  await analytics.track({ event: 'e', properties: {} }, callback);
  await analytics.page();
  await analytics.page('c', 'n', { a: 1 }, {}, callback);
  await analytics.page(null, 'n', { a: 1 });
  await analytics.page({ a: 1 }, callback);
  await analytics.screen('n', callback);
  await analytics.pageview('/there');
  await analytics.queryString('?ajs_uid=u1');
  await analytics.group('g', { a: 1 });
  const groupId: string | null = analytics.group().id();
  await analytics.alias('to', 'from', {}, callback);
  const anonymousId: string | null = analytics.user().anonymousId();
  analytics.on('track', (event: string) => void event).once('reset', () => undefined);
  const plugin: Plugin = { name: 'p', type: 'before', track: (ctx) => ctx.updateEvent('context.a', 1) };
  await analytics.register(plugin);
  await analytics.addSourceMiddleware(({ payload, next }) => next(payload));
  await analytics.trackLink(document.querySelectorAll('a'), (link) => link.id, { a: 1 });
  analytics.optIn({ ads: false });
  const [instance] = await analytics;
  instance.optOut();
  void [groupId, anonymousId];

  interface Shopper {
    email: string;
    colour?: string;
  }
  interface Order {
    total: number;
  }
  const [shopper, order]: [Shopper, Order] = [{ email: 'a@example.com' }, { total: 1 }];
  await analytics.identify('u', shopper);
  await analytics.identify(shopper, (ctx) => void ctx.delivered);
  await analytics.identify('u', (ctx) => void ctx.delivered);
  await analytics.identify('u', { colour: 'red', email: 'a@example.com' }, (ctx) => void ctx.delivered);
  await analytics.track('e', order, (ctx) => void ctx.delivered);
  await analytics.page('n', order, { context: { a: 1 } });
  await analytics.group('g', order);

  // @ts-expect-error an event needs a name
  await analytics.track();
  // @ts-expect-error destinations do not run in the browser
  await analytics.register({ name: 'p', type: 'destination' });
  // @ts-expect-error an address is no text
  await analytics.identify('u', { address: 'Bern' });
  // @ts-expect-error after a name null skips the category: what follows are properties, and then options
  await analytics.page('n', null, {}, {}, {});
};
