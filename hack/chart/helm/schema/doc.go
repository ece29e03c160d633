// Package schema makes JSON schemas of Kubernetes' kinds, as strict as can be: a
// field that a kind does not have is an error, and so is null where a field may
// not be null. They are made of what Kubernetes and others publish in their Go
// modules, so that no other server is needed than the modules' own.
package schema
