/**
 * Entry of the served script. The build wraps it into a function that is called with the source's settings, which the
 * collector appends: one request brings code and settings.
 */
import { createAnalytics, type Call } from './analytics';
import type { Analytics, LoadOptions } from './types';
import { warnOnce } from './values';

/** The argument of the wrapping function; absent in the immutable file. */
declare const SETTINGS: ServedSettings | undefined;

type ServedSettings = LoadOptions & { writeKey?: string; global?: string };

interface Stub extends Array<Call> {
  _writeKey?: string;
  _loadOptions?: LoadOptions;
  invoked?: boolean;
  initialized?: boolean;
}

const globals = window as unknown as Record<string, Stub | Analytics | undefined>;
const script = document.currentScript as HTMLScriptElement | null;
const data: DOMStringMap = script?.dataset || {};

/** The name the script tag gives (`data-global`, or as the peers spell it); old snippets give none, a bare tag leaves it to the source. */
const name =
  data[Object.keys(data).find((attribute) => /^global/.test(attribute))!] ||
  ((globals.analytics as Stub | undefined)?.invoked ? 'analytics' : SETTINGS?.global || 'tabard');

const known = globals[name];
const stub = (Array.isArray(known) ? known : []) as Stub;
const options: ServedSettings = { ...SETTINGS, ...stub._loadOptions };
const writeKey = stub._writeKey || data.writeKey || options.writeKey;
/** Everything before our own paths: the script came from there, so messages go there. */
const base = script?.src.replace(/\/(v1\/(analytics-)?|analytics.)js\/.*/, '');
const endpoint = options.endpoint || base + '/v1';

if (!writeKey) warnOnce('no write key');
else if (!known?.initialized) globals[name] = createAnalytics([writeKey, endpoint], options, stub);
