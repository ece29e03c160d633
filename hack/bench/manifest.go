package main

import "fmt"

// manifestOf writes the manifest of a receiver as a user would: one endpoint of
// stream-chat with one HTTP sink, and its Secret. Limits stay at their defaults;
// the queue has room for a whole run, as many attempts run at once as clients send, and
// nothing is waited for at the end.
func manifestOf(secret, sinkAddr string, deliver bool) string {
	suspend := "Deliveries"
	if deliver {
		suspend = "None"
	}
	return fmt.Sprintf(`apiVersion: fairlead.dev/v1alpha1
kind: WebhookEndpoint
metadata: {name: bench, namespace: default}
spec:
  provider: stream-chat
  secretRef: {name: bench}
  sources: {mode: Observe}
  sinks:
  - name: counter
    http: {url: "http://%s/events"}
    delivery: {concurrency: 64}
  queue: {capacity: 16Gi}
  receiver:
    drain: {delay: 0s, grace: 0s}
  suspend: %s
---
apiVersion: v1
kind: Secret
metadata: {name: bench, namespace: default}
stringData:
  benchkey: %q
`, sinkAddr, suspend, secret)
}
