/**
 * The client: one synchronous core. A call reads identity, page and time at once and freezes the message; only
 * sending is asynchronous.
 */
import { callbackOf, resolveAlias, resolveIdentity, resolvePage, resolveTrack } from './arguments';
import { createConsent } from './consent';
import { cookieJar, forgetCookies } from './cookies';
import { createEmitter } from './emitter';
import { createIdentity, IDS, NAMES } from './identity';
import { trackOn } from './links';
import { messageBuilder } from './message';
import { createOutbox, INVALID, newCtx, type Source } from './outbox';
import { momentOf, noteMoment, type Moment, type Noted } from './page';
import { createPipeline } from './pipeline';
import { runQueryString } from './query';
import { watchNavigation } from './spa';
import { createStore } from './store';
import type {
  Analytics,
  CallOptions,
  Ctx,
  Dict,
  Group,
  LoadOptions,
  Message,
  MessageType,
  Plugin,
  SourceMiddleware,
} from './types';
import { createUnchanged } from './unchanged';
import { asId, copy, uuid } from './values';
import { VERSION } from './version';

/** One call: the method's name, then its arguments. */
export type Call = [string, ...unknown[]];

/** Starts the client and replays what was called before. Storage, cookies and network are touched from here on only. */
export const createAnalytics = (source: Source, options: LoadOptions, queued: Call[]): Analytics => {
  const jar = cookieJar(options.cookie);
  const consent = createConsent(jar, options.consent);
  const store = createStore(jar, () => !options.disableClientPersistence && options.user?.persist !== false && consent.rule().storage);
  const [on, once, off, emit] = createEmitter();
  const pipeline = createPipeline();
  const unchanged = createUnchanged(store, options.sendUnchangedIdentify);
  const [user, group, refreshCookies] = createIdentity(store, options, source[1]);
  const buildMessage = messageBuilder(user, store, options);
  let loading: Promise<unknown> = Promise.resolve();
  let replayed: Moment | undefined;
  let previousUrl: string | undefined;
  let debugging: boolean | undefined;

  const log = (...parts: unknown[]): void => {
    if (debugging) console.log('[tabard]', ...parts);
  };

  const logSaved = (): void => log('saved', unchanged.saved());

  const now = (): Moment => replayed || momentOf(noteMoment(), previousUrl);

  const report = (ctx: Ctx): void => {
    log(ctx);
    unchanged.settled(ctx);
    emit(`delivery_${ctx.delivered ? 'success' : 'failure'}`, ctx);
  };

  const outbox = createOutbox(source, store, consent, pipeline.pass, report);

  /**
   * One message from its call to the outbox. The result never rejects and comes also when nothing was sent; even the
   * reading of the arguments may throw (getters, revoked proxies).
   */
  const dispatch = async <G extends unknown[]>(
    type: MessageType,
    args: unknown[],
    resolve: (args: unknown[]) => [CallOptions, ...G],
    fieldsOf: (given: G, moment: Moment) => Dict,
  ): Promise<Ctx> => {
    const callback = callbackOf(args);
    forgetCookies();
    let ctx = newCtx({ type } as Message);
    try {
      const [options, ...given] = resolve(args);
      const moment = now();
      const fields = fieldsOf(given, moment);
      if (fields.event === null) throw INVALID;
      // The outbox asks once more when it sends.
      if (consent.rule().events === 'drop') throw 'consent';
      // The copy is made now: what the site does to its objects later is not this call's.
      ctx = newCtx(copy(buildMessage(type, fields, options, moment)));
      refreshCookies();
      emit(type, ...given, options, callback);
      if (type === 'identify' && unchanged.leavesOut(ctx, options, source[0])) logSaved();
      else await outbox.take(ctx);
    } catch (error) {
      outbox.refuse(ctx, error);
    }
    // What it throws is the site's error, and shows as an unhandled rejection.
    void (async () => callback?.(ctx))();
    return ctx;
  };

  /** identify and group: what is given joins what is known. */
  const describe = (type: 'identify' | 'group', entity: Group, args: unknown[]): Promise<Ctx> =>
    dispatch(type, args, resolveIdentity, (given) => {
      // NaN is an id that went wrong: its traits may not go to whoever is known.
      if (args[0] !== args[0]) throw INVALID;
      entity.identify(given[0], copy(given[1]));
      given[0] = entity.id();
      return { groupId: entity === group ? given[0] : undefined, traits: entity.traits() };
    });

  const track = (...args: unknown[]): Promise<Ctx> =>
    dispatch('track', args, resolveTrack, ([event, properties]) => ({ event, properties }));

  const view =
    (type: 'page' | 'screen') =>
    (...args: unknown[]): Promise<Ctx> =>
      dispatch(type, args, resolvePage, ([category, name, properties], [, page]) => {
        const described = type === 'page' && { ...page, category, name };
        return { name, category, properties: { ...described, ...properties } };
      });

  const alias = (...args: unknown[]): Promise<Ctx> =>
    dispatch('alias', args, resolveAlias, ([to, from]) => ({
      previousId: from || user.id() || user.anonymousId(),
      userId: to || user.id(),
    }));

  const call = ([method, ...args]: Call): unknown => {
    const noted = ((args[args.length - 1] as Dict | undefined)?.__t && args.pop()) as Noted | undefined;
    if (noted) replayed = momentOf(noted);
    const result = (self as unknown as Dict<((...args: unknown[]) => unknown) | undefined>)[method]?.(...args);
    noted?.k?.(result);
    replayed = undefined;
    return result;
  };

  const chained =
    (action: (...args: never[]) => void) =>
    (...args: never[]): Analytics => {
      action(...args);
      return self;
    };

  const trackLink = trackOn('click', track);
  const trackForm = trackOn('submit', track);

  const ready = (callback?: () => void): Promise<unknown> => loading.then(callback);

  /** Calls with nothing to do here: the client is loaded, destinations run on the server, a plugin stays. */
  const nothing = async (): Promise<Analytics> => self;

  const self = {
    VERSION,
    initialized: true,
    identify: (...args: unknown[]) => describe('identify', user, args),
    track,
    page: view('page'),
    screen: view('screen'),
    group: (...args: unknown[]) => (args.length ? describe('group', group, args) : group),
    alias,
    user: () => (forgetCookies(), user),
    setAnonymousId: (id?: string | null) => user.anonymousId(asId(id) || uuid()),
    reset: () => {
      group.reset();
      user.reset();
      emit('reset');
    },
    ready,
    pageview: (path?: string) => self.page(path ? { path } : {}),
    load: nothing,
    addDestinationMiddleware: nothing,
    addIntegrationMiddleware: nothing,
    deregister: nothing,
    queryString: async (search: string) => runQueryString(self, options, search),
    on: chained(on),
    once: chained(once),
    off: chained(off),
    emit: chained(emit),
    debug: chained((wanted?: boolean) => {
      debugging = wanted;
      logSaved();
    }),
    addSourceMiddleware: async (middleware: SourceMiddleware) => {
      pipeline.addMiddleware(middleware);
      return self;
    },
    register: (...plugins: Plugin[]) =>
      (loading = Promise.all([loading, ...plugins.map((plugin) => pipeline.addPlugin(plugin, self))])),
    trackLink,
    trackClick: trackLink,
    trackForm,
    trackSubmit: trackForm,
    optIn: (categories: Dict<boolean> = {}) => {
      store.carry([...NAMES, outbox.queueKey], IDS, () => consent.decide(categories));
      // By another id than theirs, other sub-domains see that what they kept from before an optOut is of nobody.
      user.anonymousId();
      outbox.flush();
    },
    optOut: () => {
      store.erase(NAMES);
      outbox.clear();
      consent.decide();
    },
    flush: outbox.flush,
    push: call,
  } as unknown as Analytics;

  // What sets the scene comes first: no message of the queue escapes a middleware or a listener.
  const replay = (scene: boolean): void =>
    queued.forEach((each) => /^(on|de|ad|reg)/.test(each[0]) === scene && call(each));

  replay(true);
  runQueryString(self, options);
  if (options.initialPageview) void self.page();
  if (options.spa) watchNavigation(self, (url) => (previousUrl = url));
  replay(false);
  emit('initialize');
  return self;
};
