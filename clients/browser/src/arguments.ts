/**
 * The overloads of analytics.js, read by position: `id` takes a string or a number and null skips a slot.
 * This accepts every form of both published clients. Each result has the options first, then what a listener gets.
 */
import type { CallOptions, Callback, Dict } from './types';
import { asId, dict, isFunction, isPlainObject, isString } from './values';

type Args = readonly unknown[];

/** The first function anywhere. */
export const callbackOf = (args: Args): Callback | undefined => args.find(isFunction) as Callback | undefined;

/** identify and group: `(id?, traits?, options?, callback?)`. */
export const resolveIdentity = (args: Args): [options: CallOptions, id: string | null, traits: Dict] => {
  const id = asId(args[0]);
  const [traits, options] = isPlainObject(args[0]) ? args : args.slice(1);
  return [dict(options), id, dict(traits)];
};

/** track: `(event, properties?, options?, callback?)` or `({event, properties}, options?, callback?)`; null is no event. */
export const resolveTrack = (args: Args): [options: CallOptions, event: string | null, properties: Dict] => {
  const [first, second] = args;
  const [event, properties, options] = isPlainObject(first) ? [first.event, first.properties, second] : args;
  return [dict(options), asId(event), dict(properties)];
};

/** page and screen: `(category?, name?, properties?, options?, callback?)`; a single string is the name. */
export const resolvePage = (
  args: Args,
): [options: CallOptions, category: string | undefined, name: string | undefined, properties: Dict] => {
  const strings = args.slice(0, 2).filter(isString);
  const slot = args.findIndex((argument, at) => at > 1 || !(argument == null || isString(argument)));
  // Where there is no such place the last string stands here, which is no properties.
  const [properties, options] = args.slice(slot);
  const name = strings.pop();
  return [dict(options), strings.pop(), name, dict(properties)];
};

/** alias: `(to, from?, options?, callback?)`. */
export const resolveAlias = (args: Args): [options: CallOptions, to: string | undefined, from: string | undefined] => {
  const [to, from] = args.map(asId).filter(isString);
  return [dict(args.find(isPlainObject)), to, from];
};
