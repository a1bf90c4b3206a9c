import type { Analytics, Dict, Message, Plugin, SourceMiddleware } from './types';
import { warnOnce } from './values';

type Step = (message: Message) => Promise<Message>;

/** What a step throws to drop a message. */
const DROPPED = 'middleware';

/** The site's own steps between a call and its sending, in the order of their registration. */
export const createPipeline = () => {
  const steps: Step[] = [];
  return {
    /** The message as the steps leave it. Throws where one drops it or fails. */
    pass: async (message: Message): Promise<Message> => {
      for (const step of steps) message = await step(message);
      return message;
    },
    addMiddleware: (middleware: SourceMiddleware): void => {
      steps.push(async (obj) => {
        let passed: Message | null | undefined;
        const next = (payload: { obj: Message } | null = { obj }) => (passed = payload?.obj);
        await middleware({ payload: { obj }, integrations: obj.integrations, next });
        if (!passed) throw DROPPED;
        return passed;
      });
    },
    /** Adds a plugin. Messages wait for it to load; one that fails to load lets them pass. */
    addPlugin: async (plugin: Plugin, analytics: Analytics): Promise<void> => {
      const loading = (async () => plugin.load?.({}, analytics))().then(() => true, warnOnce);
      if ((plugin.type as string) !== 'destination')
        steps.push(async (event) => {
          const updateEvent = (path: string, value: unknown): Message => {
            const step = (inner: Dict, key: string, at: number, keys: string[]): Dict =>
              (inner[key] = keys[at + 1] ? inner[key] ?? {} : value) as Dict;
            path.split('.').reduce(step, event as Dict);
            return event;
          };
          const ctx = { id: event.messageId, event, updateEvent };
          if (await loading) await plugin[event.type]?.(ctx);
          return ctx.event;
        });
      await loading;
    },
  };
};
