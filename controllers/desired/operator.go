package desired

// InitialReplicas is how many receivers a new endpoint has if it does not say.
const InitialReplicas int32 = 2

// OperatorLabels are the labels of the operator's own pods, by which receivers'
// network policies let them in. The manifests in config/ and charts/ set them.
func OperatorLabels() map[string]string {
	return map[string]string{LabelName: "fairlead-operator"}
}
