/**
 * Messages on their way to the collector. A message is this client's own copy from its call on; each try sends the
 * same content with the same messageId, so the server recognises what it already has.
 */
import type { Consent } from './consent';
import type { Store } from './store';
import type { Ctx, Dict, Message } from './types';
import { copy, dict, isString, stringify, uuid, warnOnce } from './values';

/** The endpoint is the base of the collector and ends in /v1. */
export type Source = readonly [writeKey: string, endpoint: string];

/** The reason of a message that is none, or that a step of the site broke. */
export const INVALID = 'invalid';

export const newCtx = (event: Message): Ctx => ({
  id: event.messageId,
  event,
  attempts: 0,
  delivered: false,
  suppressed: false,
});

/** What a collector takes unless its operator allows more (`message_bytes_max`). */
const MESSAGE_BYTES_USUAL = 32e3;
const MESSAGE_BYTES_MAX = 500e3;
const BATCH_BYTES_MAX = 450e3;
/** Browsers refuse keepalive bodies beyond 64 KiB in flight; the rest is room for the envelope. */
const KEEPALIVE_BYTES_MAX = 60e3;
const REQUESTS_MAX = 4;
const QUEUE_MAX = 1000;
const STORED_MAX = 200;
const STORED_CHARS_MAX = 256e3;
const BACKOFF_MAX_MS = 6e4;
const RETRY_AFTER_MAX_MS = 3e5;
const REQUEST_TIMEOUT_MS = 3e4;
const CUT_OFF_MS = 99;
/** Tries without an answer, one after the other, before the console tells. */
const TRIES_SILENT_MAX = 9;

const bytesOf = (text: string): number => new Blob([text]).size;

export const createOutbox = (
  [writeKey, endpoint]: Source,
  { local, setLocal, erase }: Store,
  { rule, categories }: Consent,
  /** The message as the site's own steps leave it. Throws where one drops it or fails. */
  pass: (message: Message) => Promise<Message>,
  /** Told once what became of a message. */
  report: (ctx: Ctx) => void,
) => {
  const key = 'tabard:q:' + writeKey;
  const tab = uuid();
  /** What has no answer yet, in the order of the calls, with what ends the waiting of its caller. */
  const open = new Map<Ctx, () => void>();
  /** Of these, what waits to be sent. */
  let waiting: Ctx[] = [];
  /** Requests under way, and their bytes. */
  let flying = 0;
  let flyingBytes = 0;
  let failures = 0;
  let heldUntil = 0;
  /** Milliseconds the server asked to be left alone. */
  let asked = 0;
  /** What is sent now has to outlive the page, which is hidden just now or gone but for what its last handlers do. */
  let leaving = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** Milliseconds the timer was set to; Infinity where it is not. */
  let timerMs = Infinity;

  const stored = (): Dict => dict(local(key));

  /** Writes down what this tab has no answer for, beside what other tabs wrote; of too much the oldest go first. */
  const store = (): void => {
    const { [tab]: before, ...others } = stored();
    const list = [...open.keys()].slice(-STORED_MAX).map(({ event }) => event);
    let excess = stringify(list).length - STORED_CHARS_MAX;
    while (excess > 0) excess -= stringify(list.shift()).length;
    if (list[0]) others[tab] = list;
    if (list[0] || before) setLocal(key, Object.keys(others)[0] ? others : null);
  };

  /** Ends the waiting of the caller, who may be told so before the message is delivered. */
  const settle = (ctx: Ctx, reason?: string): void => {
    ctx.reason = reason;
    open.get(ctx)?.();
  };

  const finish = (ctxs: Ctx[], reason?: string): void =>
    ctxs.forEach((ctx) => {
      ctx.delivered = !reason;
      settle(ctx, reason);
      open.delete(ctx);
      report(ctx);
    });

  /** Ends a message that cannot be sent: what was thrown is the reason, unless it is an error. */
  const refuse = (ctx: Ctx, error: unknown): void => {
    if (!isString(error)) warnOnce(ctx.event.type, error);
    finish([ctx], isString(error) ? error : INVALID);
  };

  /** Keeps for later what cannot go now. */
  const park = (): void => {
    store();
    waiting.forEach((ctx) => settle(ctx, rule().events === 'send' ? 'waiting' : 'consent'));
  };

  /**
   * Milliseconds until the server may be asked again; a look once a minute where an event will end the pause. A page
   * that leaves does not wait for its own backoff, only for what the server asked.
   */
  const pause = (): number => {
    if (rule().events !== 'send' || !navigator.onLine) return BACKOFF_MAX_MS;
    return leaving && !asked ? 0 : heldUntil - performance.now();
  };

  /** Puts what the server could not take now back in front. */
  const retryLater = (ctxs: Ctx[], retryAfter: number): void => {
    waiting = ctxs.concat(waiting);
    park();
    if (failures > TRIES_SILENT_MAX) warnOnce('waiting', endpoint);
    // Requests that failed side by side are one failure.
    if (retryAfter || pause() <= 0) {
      const backoff = Math.min(BACKOFF_MAX_MS, 500 * 2 ** failures++) * (0.75 + Math.random() / 2);
      asked = Math.min(retryAfter * 1e3, RETRY_AFTER_MAX_MS);
      heldUntil = performance.now() + (asked || backoff);
    }
    schedule(pause());
  };

  const post = (ctxs: Ctx[]): void => {
    // The consent of the moment of sending.
    const categoryPreferences = categories();
    ctxs.forEach((ctx) => {
      ctx.attempts++;
      if (categoryPreferences) ctx.event.context = { ...ctx.event.context, consent: { categoryPreferences } };
    });
    const [{ event }, second] = ctxs as [Ctx, Ctx?];
    const url = `${endpoint}/${second ? 'b' : event.type[0]}`;
    const body = stringify({ ...(second ? { batch: ctxs.map((ctx) => ctx.event) } : event), sentAt: new Date(), writeKey });
    flying++;
    // Without fetch's keepalive a request dies with the page; what a beacon answers nobody learns, so it stays stored.
    if (leaving && !('keepalive' in Request.prototype)) return void navigator.sendBeacon(url, body);
    const bytes = bytesOf(body);
    flyingBytes += bytes;
    const answered = (status: number, retryAfter: number): void => {
      flying--;
      flyingBytes -= bytes;
      if (!open.has(ctxs[0]!)) return;
      if (/^(0|408|429|5)/.test(`${status}`)) return retryLater(ctxs, retryAfter);
      failures = 0;
      if (status < 400) finish(ctxs);
      else {
        warnOnce('refused', status);
        finish(ctxs, 'refused');
      }
      store();
      if (waiting[0]) schedule();
    };
    fetch(url, {
      method: 'POST',
      body,
      keepalive: flyingBytes < KEEPALIVE_BYTES_MAX + 2e3,
      credentials: 'omit',
      signal: AbortSignal.timeout?.(REQUEST_TIMEOUT_MS),
    }).then(
      ({ status, headers }) => answered(status, +headers.get('retry-after')!),
      // Chromium calls a request failed that a navigation cuts off from its page, just before the page goes. It may well
      // arrive: it stays under way, and so is stored but not sent again, unless the page is still there a moment later.
      () => setTimeout(answered, CUT_OFF_MS, 0, 0),
    );
  };

  /** Throws everything away, also what is stored and what is on its way: nothing of it is tried again. */
  const clear = (): void => {
    erase([key]);
    waiting = [];
    finish([...open.keys()], 'consent');
  };

  const flush = (): void => {
    clearTimeout(timer);
    timerMs = Infinity;
    // The visitor may have opted out in another tab.
    if (rule().events === 'drop') return clear();
    if (waiting[0] && pause() > 0) {
      park();
      return schedule(pause());
    }
    while (waiting[0] && (leaving || flying < REQUESTS_MAX)) {
      let room = leaving ? KEEPALIVE_BYTES_MAX - flyingBytes : BATCH_BYTES_MAX;
      const tooMany = waiting.findIndex(({ event }) => (room -= bytesOf(stringify(event))) < 0);
      if (!tooMany && leaving) return;
      post(waiting.splice(0, tooMany < 0 ? QUEUE_MAX : tooMany || 1));
    }
  };

  /** One flush, at the earliest of the times asked for. */
  const schedule = (ms = 0): void => {
    if (ms >= timerMs) return;
    clearTimeout(timer);
    timer = setTimeout(flush, (timerMs = ms));
  };

  const leave = (): void => {
    const gone = leaving;
    leaving = true;
    flush();
    store();
    leaving = gone;
    // What was too large to outlive the page goes as usual if the page is only hidden.
    if (waiting[0]) schedule();
  };

  /**
   * Takes one message, through the site's own steps where it is not yet through, and resolves after the first answer, or
   * when it is clear that there will be none soon.
   */
  const take = async (ctx: Ctx): Promise<void> => {
    const settled = new Promise<void>((resolve) => open.set(ctx, resolve));
    const { raw, ...event } = ctx.event;
    if (raw) {
      if (leaving) store();
      try {
        // Copied once more: what a middleware keeps is not this message, and what it broke stops here.
        ctx.event = copy(await pass(event as Message));
        if (!ctx.event.type[0]) throw INVALID;
      } catch (error) {
        refuse(ctx, error);
      }
    }
    const bytes = bytesOf(stringify(ctx.event));
    if (bytes > MESSAGE_BYTES_USUAL) warnOnce('large', bytes);
    if (bytes > MESSAGE_BYTES_MAX) finish([ctx], 'too_large');
    // The visitor may have opted out meanwhile.
    if (open.has(ctx)) {
      if (waiting[QUEUE_MAX - 1]) flush();
      if (waiting.push(ctx) > QUEUE_MAX) finish([waiting.shift()!], 'full');
      if (leaving) leave();
      else schedule();
    }
    return settled;
  };

  /** Takes what earlier pages could not deliver. Other tabs keep away from it until there is an answer: they lack the lock. */
  const recover = async (): Promise<void> => {
    const { [tab]: _, ...others } = stored();
    const left = (Object.values(others).flat() as Message[]).filter((event) => isString(event?.type));
    if (!left[0]) return;
    setLocal(key, { [tab]: left });
    const answered = left.map((event) => take(newCtx(event)));
    flush();
    await Promise.all(answered);
  };

  addEventListener('pagehide', () => {
    leaving = true;
    leave();
  });
  addEventListener('pageshow', () => (leaving = false));
  addEventListener('visibilitychange', () => (document.hidden ? leave() : flush()));
  addEventListener('online', flush);

  // One tab alone; without locks (plain http) two tabs opened in the same instant may both send, which the server mends.
  // In a later task: not before the middlewares that the snippet has queued are there.
  const { locks } = navigator;
  // What a visitor who has opted out left behind goes.
  flush();
  if (local(key) && locks) void locks.request(key, { ifAvailable: true }, (lock) => lock && recover());
  else setTimeout(recover);

  return { queueKey: key, flush, take, refuse, clear };
};
