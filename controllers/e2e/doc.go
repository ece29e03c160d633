// Package e2e tests the operator beside Kubernetes' own controllers, scheduler and
// garbage collector: rollouts, autoscaling, volumes, deletion. Pods are scheduled
// and become Ready there, and run nothing, so that no receiver can be asked how it
// is. What needs no more than an API server is tested in controllers/endpoint.
//
// There is nothing here but tests. Each has a namespace of its own, and an operator
// for that namespace alone, with the rights that config/default grants.
package e2e
