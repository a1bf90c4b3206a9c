// Sends one scenario with a published server SDK: node drive.mjs SDK URL WRITE_KEY. Exits 0 only after the SDK flushed.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [sdk, url, writeKey] = process.argv.slice(2);

const PERSON = { userId: "97980cfea0067", anonymousId: "anon-1" };
const TRAITS = {
  firstName: "cool",
  lastName: "person",
  email: "cool.person@example.com",
  createdAt: new Date(Date.UTC(2024, 0, 2, 3, 4, 5)),
  address: { city: "Zürich", postalCode: "8001" },
  tags: ["a", "b"],
};

function twilioStyle(Analytics) {
  const client = new Analytics({ writeKey, host: url, flushAt: 20, flushInterval: 200 });
  return { client, done: () => client.closeAndFlush({ timeout: 10_000 }) };
}

function rudderStyle(Analytics) {
  const client = new Analytics(writeKey, { dataPlaneUrl: url, flushAt: 20, flushInterval: 200 });
  return { client, done: () => new Promise((resolve, reject) => client.flush((error) => (error ? reject(error) : resolve()))) };
}

const SDKS = {
  "@customerio/cdp-analytics-node": () => twilioStyle(require("@customerio/cdp-analytics-node").Analytics),
  "@segment/analytics-node": () => twilioStyle(require("@segment/analytics-node").Analytics),
  "@rudderstack/rudder-sdk-node": () => {
    const loaded = require("@rudderstack/rudder-sdk-node");
    return rudderStyle(loaded.default ?? loaded);
  },
};

const { client, done } = SDKS[sdk]();
client.identify({ ...PERSON, traits: TRAITS });
client.track({ ...PERSON, event: "Order Completed", properties: { revenue: 39.95, currency: "USD", note: "line\u2028end" } });
client.page({ ...PERSON, name: "Docs", properties: { url: "https://example.com/docs" } });
client.screen?.({ ...PERSON, name: "Home", properties: { tab: 1 } });
client.group({ ...PERSON, groupId: "acme", traits: { name: "Acme", employees: 42 } });
client.alias({ previousId: "anon-1", userId: PERSON.userId });
await done();
