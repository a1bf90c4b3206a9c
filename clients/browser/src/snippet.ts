/**
 * The snippet a site puts into its pages. It queues calls, with their page and time, until the script is there. The
 * build makes it one line; `__GLOBAL__`, `__KEY__`, `__OPTIONS__` and `__BASE__` are filled in by `snippet()` on the server.
 */
type Method = (...args: unknown[]) => unknown;
type Stub = unknown[] & { [member: string]: unknown };

((window: Window & { [name: string]: any }, document: Document, name: string) => {
  const stub: Stub = (window[name] ||= []);
  // Here a second time, be it queue or client.
  if (stub.on) return;
  stub.invoked = 1;
  const nothing = () => null;
  const nobody: Stub = { id: nothing, anonymousId: nothing, logout: nothing, traits: () => ({}) } as never;
  (
    'identify track page screen group alias user ready on once off emit reset debug setAnonymousId addSourceMiddleware ' +
    'addDestinationMiddleware addIntegrationMiddleware register deregister trackLink trackClick trackForm trackSubmit ' +
    'pageview queryString optIn optOut flush'
  )
    .split(' ')
    .forEach((method) => {
      nobody[method] = nothing;
      stub[method] = (...args: unknown[]) => {
        if (window[name].initialized) return window[name][method](...args);
        if (/^(us|gr)/.test(method) && !args[0]) return nobody;
        const called = new Promise((k) =>
          stub.push([
            method,
            ...args,
            {
              __t: 'bpc',
              c: document.querySelector<HTMLLinkElement>('link[rel=canonical]')?.href,
              u: location.href,
              t: document.title,
              r: document.referrer,
              d: Date.now(),
              k,
            },
          ]),
        );
        return /^(on|off|em|de)/.test(method) ? stub : called;
      };
    });
  stub.load = (key: string, options?: unknown) => {
    const script = document.createElement('script');
    let url: unknown = `__BASE__/v1/analytics-js/snippet/${key}/analytics.min.js`;
    stub._writeKey = key;
    stub._loadOptions = options;
    script.dataset.global = name;
    // Where there are no Trusted Types, or the page allows no policy of this name, the plain address has to do.
    try {
      url = window.trustedTypes!.createPolicy(name, { createScriptURL: (same: string) => same }).createScriptURL(url as string);
    } catch {}
    script.src = url as string;
    document.head.append(script);
  };
  (stub.load as Method)('__KEY__', '__OPTIONS__');
  (stub.page as Method)();
})(window as never, document, '__GLOBAL__');
