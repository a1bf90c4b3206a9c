import type { Analytics, Dict, Message, Plugin, SourceMiddleware } from './types';

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
        const { integrations } = obj;
        const next = (payload: { obj: Message } | null = { obj }) => (passed = payload?.obj);
        await middleware({ payload: { obj }, integrations, next });
        if (!passed) throw DROPPED;
        return passed;
      });
    },
    /** Adds a plugin; what it returns is awaited before the first message passes it. */
    addPlugin: (plugin: Plugin, analytics: Analytics): unknown => {
      const loading = plugin.load?.({}, analytics);
      if ((plugin.type as string) !== 'destination')
        steps.push(async (event) => {
          const updateEvent = (path: string, value: unknown): Message => {
            const keys = path.split('.');
            const last = keys.pop()!;
            keys.reduce((inner, key) => (inner[key] ??= {}) as Dict, event as Dict)[last] = value;
            return event;
          };
          const ctx = { id: event.messageId, event, updateEvent };
          await loading;
          await plugin[event.type]?.(ctx);
          return ctx.event;
        });
      return loading;
    },
  };
};
