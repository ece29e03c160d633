package desired

// podMonitor asks the Prometheus operator to read the receivers' metrics.
func (b *builder) podMonitor() *untyped {
	return b.untyped("monitoring.coreos.com/v1", "PodMonitor", map[string]any{
		"selector":            map[string]any{"matchLabels": Selector(b.ep.Name)},
		"podMetricsEndpoints": []any{map[string]any{"port": telemetryPortName, "path": "/metrics"}},
	})
}
