import type { CallOptions, Dict, Elements, Of } from './types';
import { isFunction } from './values';

/**
 * Tracks clicks or submits of the given elements. The peers stop the navigation and wait up to 300 ms; a keepalive
 * request outlives the page, so here the browser goes its own way at once.
 */
export const trackOn =
  (trigger: 'click' | 'submit', track: (...args: unknown[]) => unknown) =>
  async (elements: Elements, event: Of<string>, properties?: Of<Dict | undefined>, options?: CallOptions): Promise<void> => {
    const list = (elements as Node | null)?.nodeType ? [elements] : elements || [];
    for (const element of Array.from(list as ArrayLike<Element>)) {
      const of = <T>(value: Of<T>): T => (isFunction(value) ? (value as (element: Element) => T)(element) : (value as T));
      element.addEventListener(trigger, () => track(of(event), of(properties), options));
    }
  };
