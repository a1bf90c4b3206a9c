/** Everything a site can name in its own code. Only types: nothing here reaches the built script. */

export type Dict<T = unknown> = Record<string, T>;

export type MessageType = 'identify' | 'track' | 'page' | 'screen' | 'group' | 'alias';

/** Traits with a meaning of their own. */
export interface ReservedTraits {
  address?: { city?: string; country?: string; postalCode?: string; state?: string; street?: string };
  age?: number;
  avatar?: string;
  birthday?: Date | string;
  company?: { id?: string | number; name?: string; industry?: string; employee_count?: number; plan?: string };
  createdAt?: Date | string;
  description?: string;
  email?: string;
  firstName?: string;
  gender?: string;
  id?: string;
  lastName?: string;
  name?: string;
  phone?: string;
  title?: string;
  username?: string;
  website?: string;
}

/** Reserved traits and any others. Both spellings are understood by the server. */
export type UserTraits = ReservedTraits & Dict;

/** Values of any type of the site's own, interfaces too; what is reserved has its own type. */
type Traits = UserTraits | (object & ReservedTraits);

/** Per-call options. A key not listed here is moved into the message's `context`. */
export interface CallOptions extends Dict {
  integrations?: Dict;
  context?: Dict;
  anonymousId?: string;
  userId?: string;
  timestamp?: Date | string | number;
  messageId?: string;
  /** `identify` only: send although nothing changed. */
  force?: boolean;
}

/** One call as it is sent. */
export interface Message extends Dict {
  type: MessageType;
  messageId: string;
  timestamp: string;
  anonymousId: string | null;
  userId: string | null;
  integrations: Dict;
  context: Dict;
}

/** What a call resolves with, and what its callback gets. It never rejects. */
export interface Ctx {
  readonly id: string;
  event: Message;
  /** Requests made for this message so far. */
  attempts: number;
  /** True from the moment the server has taken the message. */
  delivered: boolean;
  /** True for an identify that would have changed nothing and was therefore not sent. */
  suppressed: boolean;
  /**
   * Why the message was not (yet) delivered: `invalid`, `middleware`, `consent`, `too_large`, `full`, `waiting`,
   * `refused`, `server` (no browser here).
   */
  reason?: string | undefined;
}

export type Callback = (ctx: Ctx) => void;
type Nullish = null | undefined;
type Id = string | number | Nullish;

export interface Page {
  path: string;
  referrer: string;
  search: string;
  title: string;
  url: string;
}

export interface User {
  id(value?: Id): string | null;
  anonymousId(value?: string | null): string | null;
  traits(value?: Dict | null): Dict;
  identify(id?: Id, traits?: Dict | null): void;
  logout(): void;
  reset(): void;
}

export interface Group {
  id(value?: Id): string | null;
  traits(value?: Dict | null): Dict;
  identify(id?: Id, traits?: Dict | null): void;
  logout(): void;
  reset(): void;
}

export type SourceMiddleware = (step: {
  payload: { obj: Message };
  integrations: Dict;
  /** Hands the message on; without this call it is dropped. */
  next: (payload?: { obj: Message } | null) => void;
}) => unknown;

export interface PluginContext {
  id: string;
  event: Message;
  /** Sets one value by its dotted path. */
  updateEvent(path: string, value: unknown): Message;
}

type PluginStep = (ctx: PluginContext) => unknown;

/** A plugin changes messages before they are frozen (`before`, `enrichment`) or only loads (`utility`). */
export interface Plugin {
  name: string;
  type: 'before' | 'enrichment' | 'utility';
  version?: string;
  isLoaded?: () => boolean;
  load?: (ctx: unknown, analytics: Analytics) => unknown;
  identify?: PluginStep;
  track?: PluginStep;
  page?: PluginStep;
  screen?: PluginStep;
  group?: PluginStep;
  alias?: PluginStep;
}

/** What to do for a visitor who has not decided yet. */
export interface Undecided {
  /** Where identity may be kept: nowhere but in this page, in this tab, or as after consent. Default `none`. */
  storage?: 'none' | 'session' | 'all';
  /** What happens to calls: kept in this page until `optIn`, sent at once, or thrown away. Default `hold`. */
  events?: 'hold' | 'send' | 'drop';
  /** False: a browser that sends Global Privacy Control is not taken for undecided. */
  gpc?: boolean;
}

export interface LoadOptions {
  /** Base of the collector, e.g. `https://events.example.com/v1`. Default: where the script came from. */
  endpoint?: string;
  consent?: Undecided;
  integrations?: Dict;
  initialPageview?: boolean;
  /** One `page` per changed path and query. */
  spa?: boolean;
  cookie?: { domain?: string; maxage?: number; path?: string; sameSite?: string; secure?: boolean };
  /** `persist: false`: as `disableClientPersistence`. */
  user?: { persist?: boolean };
  /** Neither cookies nor storage: identity lives as long as the page. */
  disableClientPersistence?: boolean;
  useQueryString?: boolean | { aid?: RegExp | string | false; uid?: RegExp | string | false };
  /** Query parameters copied to `context.campaign.clickIds`, e.g. `['gclid', 'fbclid']`. Default: none. */
  clickIds?: string[];
  /** Let the server set the identity cookies once a day (`POST {endpoint}/id`); same site only. */
  idCookie?: boolean;
  /** True: an identify that changes nothing is sent all the same. */
  sendUnchangedIdentify?: boolean;
}

export interface WholeTrack {
  event: string;
  properties?: object;
}

export type Elements = Element | null | ArrayLike<Element>;
/** A value, or how to get it from the element. */
export type Of<T> = T | ((element: Element) => T);

export interface Analytics {
  readonly VERSION: string;
  readonly initialized: true;

  identify(id: Id, callback: Callback): Promise<Ctx>;
  identify(id: Id, traits: Traits | null, callback: Callback): Promise<Ctx>;
  identify(
    id?: Id,
    traits?: Traits | null,
    options?: CallOptions | null,
    callback?: Callback,
  ): Promise<Ctx>;
  identify(traits: Traits, callback: Callback): Promise<Ctx>;
  identify(traits: Traits, options?: CallOptions | null, callback?: Callback): Promise<Ctx>;

  track(event: string, callback: Callback): Promise<Ctx>;
  track(event: string, properties: object | null, callback: Callback): Promise<Ctx>;
  track(event: string, properties?: object | null, options?: CallOptions | null, callback?: Callback): Promise<Ctx>;
  track(message: WholeTrack, options?: CallOptions | null, callback?: Callback): Promise<Ctx>;
  track(message: WholeTrack, callback: Callback): Promise<Ctx>;

  page: PageCall;
  screen: PageCall;
  /** `page` with another path than that of the address. */
  pageview(path?: string): Promise<Ctx>;

  group(): Group;
  group(id: Id, callback: Callback): Promise<Ctx>;
  group(id: Id, traits: object | null, callback: Callback): Promise<Ctx>;
  group(id: Id, traits?: object | null, options?: CallOptions | null, callback?: Callback): Promise<Ctx>;
  group(traits: object, options?: CallOptions | null, callback?: Callback): Promise<Ctx>;

  alias(to: Id, from?: Id, options?: CallOptions | null, callback?: Callback): Promise<Ctx>;
  alias(to: Id, options: CallOptions, callback?: Callback): Promise<Ctx>;
  alias(to: Id, callback: Callback): Promise<Ctx>;

  user(): User;
  /** Mints an id when none is given. */
  setAnonymousId(id?: string | null): string | null;
  /** Forgets the person and the group, and mints an anonymous id; `user().logout()` keeps it. */
  reset(): void;

  ready(callback?: () => void): Promise<void>;
  on(event: string, callback: (...args: never[]) => void): Analytics;
  once(event: string, callback: (...args: never[]) => void): Analytics;
  off(event: string, callback: (...args: never[]) => void): Analytics;
  emit(event: string, ...args: unknown[]): Analytics;
  debug(on?: boolean): Analytics;

  /** Does what the page's own query does at the start, for this one: `ajs_aid`, `ajs_uid`, `ajs_event`. */
  queryString(query: string): Promise<void>;

  addSourceMiddleware(middleware: SourceMiddleware): Promise<Analytics>;
  register(...plugins: Plugin[]): Promise<void>;

  trackLink(links: Elements, event: Of<string>, properties?: Of<Dict>, options?: CallOptions): Promise<void>;
  trackClick: Analytics['trackLink'];
  trackForm(forms: Elements, event: Of<string>, properties?: Of<Dict>, options?: CallOptions): Promise<void>;
  trackSubmit: Analytics['trackForm'];

  optIn(categories?: Record<string, boolean>): void;
  optOut(): void;
  /** Sends what waits, at once. */
  flush(): void;
  /** Makes one call as a snippet queues it: the method's name, then its arguments. */
  push(call: [string, ...unknown[]]): unknown;
}

/**
 * One string is the name. null skips a place of category, name, properties, options: to give options without properties
 * write `page('Name', {}, options)`, since `page('Name', null, x)` reads x as properties, as with the peers.
 */
export interface PageCall {
  (callback: Callback): Promise<Ctx>;
  (name: string, callback: Callback): Promise<Ctx>;
  (category: string | null, name: string | null, callback: Callback): Promise<Ctx>;
  (category: string | null, name: string | null, properties: object | null, callback: Callback): Promise<Ctx>;
  (name: string, properties: object, callback: Callback): Promise<Ctx>;
  (properties: object, callback: Callback): Promise<Ctx>;
  (
    category?: string | null,
    name?: string | null,
    properties?: object | null,
    options?: CallOptions | null,
    callback?: Callback,
  ): Promise<Ctx>;
  (name: string, properties: object, options?: CallOptions | null, callback?: Callback): Promise<Ctx>;
  (properties: object, options?: CallOptions | null, callback?: Callback): Promise<Ctx>;
}
