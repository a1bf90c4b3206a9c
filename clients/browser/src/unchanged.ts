/**
 * Leaves out an identify that would tell the collector nothing new: needless calls cost money. What the collector
 * knows is remembered only once it has answered, so a failure never suppresses, and for seven days at most, which
 * bounds what a loss on the server's side can do.
 */
import { SENT } from './identity';
import type { Store } from './store';
import type { CallOptions, Ctx } from './types';
import { stringify } from './values';

const KNOWN_MS = 7 * 864e5;

export const createUnchanged = ({ local, setLocal }: Store, always: boolean | undefined) => {
  /** The latest identify still on its way, and what it says. */
  let flying: [ctx: Ctx, print: string] | false | undefined;

  /** `[print, time, saved]`, or whatever else is stored there. */
  const sent = (): { 0?: string; 1: number; 2: number } => Object(local(SENT));

  return {
    /** Calls left out so far. */
    saved: (): number => sent()[2] || 0,
    /** Whether this identify is to be left out; if not, it is watched until it is settled. */
    leavesOut: (ctx: Ctx, { force, ...others }: CallOptions, writeKey: string): boolean => {
      const { userId, anonymousId, traits } = ctx.event;
      const print = stringify([writeKey, userId, anonymousId, traits]);
      const { 0: known, 1: time, 2: saved } = sent();
      // A time to come is of a clock that was wrong: it tells nothing.
      const current = flying ? flying[1] : !Math.floor((Date.now() - time) / KNOWN_MS) && known;
      // With options (integrations, context) a call says more than its traits, and so does the next one without.
      const plain = !Object.keys(others)[0];
      ctx.suppressed = plain && !force && !always && current === print;
      if (ctx.suppressed) setLocal(SENT, [known, time, (saved || 0) + 1]);
      else {
        flying = plain && [ctx, print];
        // What this page does not live to see answered may have arrived all the same.
        setLocal(SENT, [0, 0, saved]);
      }
      return ctx.suppressed;
    },
    settled: (ctx: Ctx): void => {
      if (!flying || flying[0] !== ctx) return;
      if (ctx.delivered) setLocal(SENT, [flying[1], Date.now(), sent()[2]]);
      flying = undefined;
    },
  };
};
