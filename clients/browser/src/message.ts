import { contextOf } from './context';
import type { Moment } from './page';
import type { Store } from './store';
import type { CallOptions, Dict, LoadOptions, Message, MessageType, User } from './types';
import { asId, attempt, uuid } from './values';

/** The whole message of one call: what was given, who is on the page, and where and when that was. */
export const messageBuilder =
  (user: User, store: Store, options: LoadOptions) =>
  (type: MessageType, fields: Dict, given: CallOptions, [time, page, previousUrl]: Moment): Message => {
    // What is no field of a message is context.
    const { integrations, anonymousId, userId, timestamp, messageId, context, force: _, ...extra } = given;
    const enabled: Dict = { ...options.integrations };
    for (const name in enabled) enabled[name] = !!enabled[name];
    const pageNow: Dict = { ...page, previousUrl };
    if (type === 'page') for (const key in page) pageNow[key] = (fields.properties as Dict)[key];
    return {
      // Not yet through the site's own steps: taken off there.
      raw: 1,
      messageId: messageId || uuid(),
      // A time that is none must not cost the message.
      timestamp: attempt(() => new Date(timestamp || time).toISOString()) || new Date(time),
      type,
      anonymousId: user.anonymousId(asId(anonymousId) || undefined),
      userId: userId || user.id(),
      ...fields,
      integrations: { ...enabled, ...integrations },
      context: {
        ...contextOf(page, store, options),
        ...extra,
        ...context,
        page: { ...pageNow, ...(context?.page as Dict) },
      },
    } as unknown as Message;
  };
