// The least that answers over MQTT: what comes on TOPIC is answered where it says, with the same bytes each time.
// node mqtt-answerer.mjs URL TOPIC ANSWER; prints 0 when it is subscribed.
import mqtt from "mqtt";

const [url, topic, answer] = process.argv.slice(2);
const client = await mqtt.connectAsync(url, { protocolVersion: 5 });
client.stream.setNoDelay(true);
client.on("message", (_topic, _payload, { qos, properties }) => {
  client.publish(properties.responseTopic, answer, { qos, properties: { correlationData: properties.correlationData } });
});
await client.subscribeAsync(topic, { qos: 1 });
process.on("SIGTERM", () => process.exit(0));
console.log(0);
