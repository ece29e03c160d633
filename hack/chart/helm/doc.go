// Package helm tests the chart with Helm itself, as a library: what templates make
// of values, what the schema refuses, and what a cluster has after an install, an
// upgrade and an uninstall. It is a module of its own, so that Helm stays out of
// the product. `make chart-test` runs it.
package helm
