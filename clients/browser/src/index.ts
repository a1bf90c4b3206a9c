/** Entry of the npm package. Importing it touches nothing, so it may be imported on a server. */
import { createAnalytics, type Call } from './analytics';
import { newCtx } from './outbox';
import { noteMoment } from './page';
import type { Analytics, Group, LoadOptions, Message, User } from './types';
import { VERSION } from './version';

export type * from './types';
export { VERSION };

export interface Settings {
  writeKey: string;
  /** Where the collector is, e.g. `https://events.example.com`; `/v1` is added. */
  host?: string;
  /** The peers' name for the same. */
  cdnURL?: string;
}

const METHODS =
  'identify track page screen group alias user ready on once off emit debug reset setAnonymousId ' +
  'addSourceMiddleware addDestinationMiddleware addIntegrationMiddleware register deregister ' +
  'trackLink trackClick trackForm trackSubmit pageview queryString optIn optOut flush push';

const CHAINED = /^(on|once|off|emit|debug)$/;

const onServer = (): boolean => typeof document === 'undefined';

const nobody: User & Group = {
  id: () => null,
  anonymousId: () => null,
  traits: () => ({}),
  identify: () => undefined,
  logout: () => undefined,
  reset: () => undefined,
};

class Buffered implements PromiseLike<[Analytics, undefined]> {
  readonly VERSION = VERSION;
  private live: Analytics | undefined;
  private readonly waiting: ((live: Analytics) => void)[] = [];

  constructor() {
    for (const method of METHODS.split(' '))
      Object.defineProperty(this, method, { value: (...args: unknown[]) => this.call(method, args) });
  }

  /** Starts the client once and replays what was called before, in order. Does nothing on a server. */
  load({ writeKey, host, cdnURL }: Settings, options: LoadOptions = {}): AnalyticsBrowser {
    if (!onServer() && !this.live) {
      const endpoint = options.endpoint || `${(host || cdnURL || '').replace(/\/$/, '')}/v1`;
      const live = (this.live = createAnalytics([writeKey, endpoint], options, []));
      this.waiting.splice(0).forEach((call) => call(live));
    }
    return this as unknown as AnalyticsBrowser;
  }

  /** `const [analytics] = await AnalyticsBrowser.load(…)`, as with the peers. */
  then<A, B>(
    done?: ((value: [Analytics, undefined]) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): PromiseLike<A | B> {
    // Never resolved with this object itself: it is thenable, and a promise would follow it for ever.
    const live = onServer() ? Promise.resolve(undefined) : this.whenLive((started) => started);
    return live
      .then((analytics): [Analytics, undefined] => [(analytics ?? this) as Analytics, undefined])
      .then(done, failed);
  }

  /** On a server there is no page and never a client: a call ends at once, unsent. */
  private call(method: string, args: unknown[]): unknown {
    if (this.live) return this.live.push([method, ...args]);
    if (method === 'user' || (method === 'group' && !args.length)) return nobody;
    const chained = CHAINED.test(method);
    if (onServer()) return chained ? this : Promise.resolve({ ...newCtx({ type: method } as Message), reason: 'server' });
    const call: Call = [method, ...args, { __t: 'bpc', ...noteMoment(), d: Date.now() }];
    const result = this.whenLive((live) => live.push(call));
    return chained ? this : result;
  }

  private whenLive(use: (live: Analytics) => unknown): Promise<unknown> {
    if (this.live) return Promise.resolve(use(this.live));
    return new Promise((resolve) => this.waiting.push((live) => resolve(use(live))));
  }
}

export interface AnalyticsBrowser extends Analytics, PromiseLike<[Analytics, undefined]> {
  load(settings: Settings, options?: LoadOptions): AnalyticsBrowser;
}

/** `AnalyticsBrowser.load(settings, options)`, or `new AnalyticsBrowser()` and `load` when the site is ready for it. */
export const AnalyticsBrowser = Object.assign(Buffered as unknown as new () => AnalyticsBrowser, {
  load: (settings: Settings, options?: LoadOptions): AnalyticsBrowser => new AnalyticsBrowser().load(settings, options),
});
