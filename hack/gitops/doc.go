// Package gitops tests what is given to GitOps tools: the health check for Argo CD in
// a Lua interpreter, with statuses that the operator has written, and the shape of the
// samples in config/gitops, with Flux's own types. It is a module of its own, so that
// none of these tools gets into the product.
package gitops
