import type { Analytics, LoadOptions } from './types';
import { parametersOf } from './values';

type Pattern = RegExp | string | false | undefined;

const allows = (pattern: Pattern, value: string | undefined): value is string =>
  !!value && pattern !== false && !!value.match(pattern!);

/**
 * The query-string API: `ajs_aid`, `ajs_uid` with `ajs_trait_*`, `ajs_event` with `ajs_prop_*`, in the query or, for
 * hash routers, in the query inside the fragment. Any link can carry these, so each id can be switched off.
 */
export const runQueryString = (analytics: Analytics, { useQueryString }: LoadOptions): void => {
  if (useQueryString === false) return;
  const search = location.search || location.hash.split('?')[1];
  const { aid, uid, event } = parametersOf(search!, 'ajs_');
  const patterns: { aid?: Pattern; uid?: Pattern } = Object(useQueryString);
  if (allows(patterns.aid, aid)) analytics.setAnonymousId(aid);
  if (allows(patterns.uid, uid)) void analytics.identify(uid, parametersOf(search!, 'ajs_trait_'));
  if (event) void analytics.track(event, parametersOf(search!, 'ajs_prop_'));
};
