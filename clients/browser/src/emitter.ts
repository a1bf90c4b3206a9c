type Listener = (...args: never[]) => void;

export const createEmitter = () => {
  let listeners: [event: string, listener: Listener][] = [];

  const on = (event: string, listener: Listener): void => void listeners.push([event, listener]);

  const off = (event: string, listener: Listener): void => {
    listeners = listeners.filter(([name, known]) => name !== event || known !== listener);
  };

  const once = (event: string, listener: Listener): void => {
    const first = (...args: never[]): void => {
      off(event, first);
      listener(...args);
    };
    on(event, first);
  };

  /** A listener that throws is the site's error: it shows as an unhandled rejection and stops nobody else. */
  const emit = (event: string, ...args: unknown[]): void =>
    listeners.forEach(async ([name, listener]) => name === event && listener(...(args as never[])));

  return [on, once, off, emit] as const;
};
