// Package v1alpha1 is the file that the operator (or fairlead run) writes and
// the receiver reads: one endpoint, its profile resolved, its ranges those that
// are valid now, its secrets named as file paths. Nothing is left to look up.
//
// The profile's parts keep the types of api/v1alpha1, under aliases, so that
// the data path names one package only.
package v1alpha1
