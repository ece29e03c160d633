package endpoint

// What the operator may do in a cluster, and why. `make generate` makes the roles
// below config/ of these markers, and config/rbac_test.go holds what none of them
// may grant: there is no verb on Secrets, no wildcard, and nothing by which the
// operator could gain more.
//
// The first group has no roleName: it is granted in all namespaces by a
// ClusterRole, or in some of them by a Role that grants the same.

// An endpoint is read, and its status written. Its finalizers are not touched, but
// an owner reference that holds up the owner's deletion needs leave to do so.
//
// +kubebuilder:rbac:groups=fairlead.dev,resources=webhookendpoints,verbs=get;list;watch
// +kubebuilder:rbac:groups=fairlead.dev,resources=webhookendpoints/status,verbs=get;patch;update
// +kubebuilder:rbac:groups=fairlead.dev,resources=webhookendpoints/finalizers,verbs=update

// What an endpoint needs is made by server-side apply (create and patch), watched,
// and removed when it is not needed any more. Nothing is updated.
//
// +kubebuilder:rbac:groups="",resources=configmaps;serviceaccounts;services,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses;networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=monitoring.coreos.com,resources=podmonitors,verbs=get;list;watch;create;patch;delete

// Receivers are found, and the status says why one of them does not start.
//
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch

// Changes are told as Events, and repeated ones are counted in the first.
//
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// WebhookProviders belong to the cluster. Where the operator serves only some
// namespaces, this role may be left out: there are the built-in profiles then.
//
// +kubebuilder:rbac:groups=fairlead.dev,resources=webhookproviders,verbs=get;list;watch,roleName=fairlead-operator-provider-reader

// Whoever asks for metrics is asked who they are, and whether they may.
//
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create,roleName=fairlead-operator-metrics-auth
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create,roleName=fairlead-operator-metrics-auth

// One replica leads, by a Lease, and an Event of the older kind says which.
//
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update,namespace=fairlead-system,roleName=fairlead-operator-leader-election
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch,namespace=fairlead-system,roleName=fairlead-operator-leader-election
