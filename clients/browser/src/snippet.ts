/**
 * The snippet a site puts into its pages. It queues calls, with their page and time, until the script is there. The
 * build makes it one line; `__GLOBAL__`, `__KEY__`, `__OPTIONS__` and `__BASE__` are filled in by `snippet()` on the server.
 */
type Method = (...args: unknown[]) => unknown;
type Stub = unknown[] & { [member: string]: unknown };

((window: Window & { [name: string]: any }, document: Document, name: string) => {
  const stub: Stub = (window[name] ||= []);
  if (stub.invoked || stub.initialized) return;
  stub.invoked = 1;
  const later =
    (method: string): Method =>
    (...args) => {
      if (window[name].initialized) return window[name][method](...args);
      const link = document.querySelector('link[rel=canonical]');
      if (/^(tr.*k|id|p|sc|g|al)/.test(method))
        args.push({
          __t: 'bpc',
          c: link && link.getAttribute('href'),
          p: location.pathname,
          u: location.href,
          s: location.search,
          t: document.title,
          r: document.referrer,
          d: Date.now(),
        });
      stub.push([method, ...args]);
      return stub;
    };
  (
    'identify track page screen group alias ready on once off reset debug setAnonymousId addSourceMiddleware ' +
    'addDestinationMiddleware register trackLink trackClick trackForm trackSubmit optIn optOut flush'
  )
    .split(' ')
    .forEach((method) => (stub[method] = later(method)));
  const unknown = () => null;
  stub.user = () => ({ id: unknown, anonymousId: unknown, traits: unknown });
  stub.load = (key: string, options?: unknown) => {
    const script = document.createElement('script');
    const url = `__BASE__/v1/analytics-js/snippet/${key}/analytics.min.js`;
    const types = window.trustedTypes;
    stub._writeKey = key;
    stub._loadOptions = options;
    script.async = true;
    script.dataset.global = name;
    script.src = types ? types.createPolicy('tabard', { createScriptURL: () => url }).createScriptURL('') : url;
    document.head.appendChild(script);
  };
  (stub.load as Method)('__KEY__', '__OPTIONS__');
  (stub.page as Method)();
})(window as never, document, '__GLOBAL__');
