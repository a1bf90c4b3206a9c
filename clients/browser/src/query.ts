import type { Analytics, LoadOptions } from './types';
import { parametersOf } from './values';

type Pattern = RegExp | string | false | undefined;

const allowed = (value: string | undefined, pattern: Pattern): string | false | undefined =>
  pattern !== false && value?.match(pattern!) ? value : undefined;

/**
 * The query-string API: `ajs_aid`, `ajs_uid` with `ajs_trait_*`, `ajs_event` with `ajs_prop_*`, in the query or, for
 * hash routers, in the query inside the fragment. Any link can carry these, so each id can be switched off.
 */
export const runQueryString = (analytics: Analytics, { useQueryString }: LoadOptions, given?: string): void => {
  if (useQueryString === false) return;
  const search = given || location.search || location.hash.split('?')[1];
  const { aid, uid, event } = parametersOf(search!, 'ajs_');
  const patterns: { aid?: Pattern; uid?: Pattern } = Object(useQueryString);
  if (allowed(aid, patterns.aid)) analytics.setAnonymousId(aid);
  if (allowed(uid, patterns.uid)) void analytics.identify(uid, parametersOf(search!, 'ajs_trait_'));
  if (event) void analytics.track(event, parametersOf(search!, 'ajs_prop_'));
};
