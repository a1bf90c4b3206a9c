/**
 * Leaves out an identify that would tell the collector nothing new: needless calls cost money. What the collector
 * knows is remembered only once it has answered, so a failure never suppresses, and for seven days at most, which
 * bounds what a loss on the server's side can do.
 */
import { SAVED, SENT } from './identity';
import type { Store } from './store';
import type { CallOptions, Ctx } from './types';
import { stringify } from './values';

const KNOWN_MS = 7 * 864e5;

export const createUnchanged = ({ local, setLocal, readCookie, setCookie }: Store, always: boolean | undefined) => {
  /** The latest identify still on its way. */
  let flying: Ctx | false | undefined;
  /** What it says, and when it began. */
  let said: unknown;

  const saved = (): number => +(local(SAVED) as number) || 0;

  return {
    /** Calls left out so far. */
    saved,
    /** Whether this identify is to be left out; if not, it is watched until it is settled. */
    leavesOut: (ctx: Ctx, { force, ...others }: CallOptions, writeKey: string): boolean => {
      const { userId, anonymousId, traits } = ctx.event;
      const print = stringify([writeKey, userId, anonymousId, traits]);
      const now = Date.now();
      const { 0: known, 1: since } = Object(flying ? said : local(SENT)) as [string, number];
      // With options (integrations, context) a call says more than its traits, and so does the next one without.
      const plain = !Object.keys(others)[0];
      ctx.suppressed =
        plain && !force && !always && known === print &&
        // A time to come is of a clock that was wrong: it tells nothing.
        !Math.floor((now - since) / KNOWN_MS) &&
        // The cookie tells when the latest of all tabs and sub-domains began.
        (readCookie(SENT) || `${since}`) === `${since}`;
      if (ctx.suppressed) setLocal(SAVED, saved() + 1);
      else {
        flying = plain && ctx;
        said = [print, now];
        // What this page does not live to see answered may have arrived all the same.
        setLocal(SENT, null);
        setCookie(SENT, `${now}`);
      }
      return ctx.suppressed;
    },
    settled: (ctx: Ctx): void => {
      if (flying !== ctx) return;
      if (ctx.delivered) setLocal(SENT, said);
      flying = undefined;
    },
  };
};
