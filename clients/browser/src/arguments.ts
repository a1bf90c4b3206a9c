/**
 * The overloads of analytics.js, read by position: `id` takes a string or a number and null skips a slot.
 * This accepts every form of both published clients. The order of each result's keys is
 * that of the arguments a listener gets.
 */
import type { CallOptions, Callback } from './types';
import { asId, dict, isFunction, isPlainObject, isString } from './values';

type Args = readonly unknown[];

const callbackOf = (args: Args): Callback | undefined => args.find(isFunction) as Callback | undefined;

/** identify and group: `(id?, traits?, options?, callback?)`. */
export const resolveIdentity = (args: Args) => {
  const id = asId(args[0]);
  const rest = id === null && isPlainObject(args[0]) ? args : args.slice(1);
  return { id, traits: dict(rest[0]), options: dict(rest[1]) as CallOptions, callback: callbackOf(args) };
};

/** track: `(event, properties?, options?, callback?)` or `({event, properties}, options?, callback?)`; null is no event. */
export const resolveTrack = (args: Args) => {
  const [first, second, third] = args;
  const whole = isPlainObject(first);
  return {
    event: asId(whole ? first.event : first),
    properties: dict(whole ? first.properties : second),
    options: dict(whole ? second : third) as CallOptions,
    callback: callbackOf(args),
  };
};

/** page and screen: `(category?, name?, properties?, options?, callback?)`; a single string is the name. */
export const resolvePage = (args: Args) => {
  const strings = args.slice(0, 2).filter(isString);
  const slot = args.findIndex((argument, at) => at > 1 || !(argument == null || isString(argument)));
  const [properties, options] = slot < 0 ? [] : args.slice(slot);
  const name = strings.pop();
  return {
    category: strings.pop(),
    name,
    properties: dict(properties),
    options: dict(options) as CallOptions,
    callback: callbackOf(args),
  };
};

/** alias: `(to, from?, options?, callback?)`. */
export const resolveAlias = (args: Args) => {
  const [to, from] = args.map(asId).filter(isString);
  return { to, from, options: dict(args.find(isPlainObject)) as CallOptions, callback: callbackOf(args) };
};
