package v1alpha1

// The types of conditions. Each reason below says what the reader should do.
const (
	// ConditionReady sums up the others: what the specification asks for runs and
	// is reachable. WebhookProviders have it too: the profile can be used.
	ConditionReady = "Ready"
	// ConditionReconciling is there, and True, only while something is under way
	// (kstatus: in progress).
	ConditionReconciling = "Reconciling"
	// ConditionStalled is there, and True, only while nothing will get better until
	// a person changes something (kstatus: failed).
	ConditionStalled = "Stalled"
	// ConditionProviderResolved says whether spec.provider names a usable profile.
	ConditionProviderResolved = "ProviderResolved"
	// ConditionSecretReady says whether the receivers hold usable signing secrets.
	// They report it: the operator cannot read Secrets.
	ConditionSecretReady = "SecretReady"
	// ConditionSinksReady says whether the sinks take what they are given, and
	// whether there is room for what waits for them.
	ConditionSinksReady = "SinksReady"
	// ConditionAvailable says whether receivers run.
	ConditionAvailable = "Available"
	// ConditionExposed says whether requests from outside can reach the receivers.
	ConditionExposed = "Exposed"
	// ConditionSourcePreserved says whether receivers see the addresses of those
	// that send, on which the allowlist rests.
	ConditionSourcePreserved = "SourcePreserved"
	// ConditionDurable says what an acknowledged event survives.
	ConditionDurable = "Durable"
)

// Reasons of Ready, Reconciling and Stalled. The last two have the reason of
// what they are about.
const (
	// ReasonAvailable: nothing to do.
	ReasonAvailable = "Available"
	// ReasonIntakeSuspended: spec.suspend is Intake, as was asked for. Set it to
	// None to take events again.
	ReasonIntakeSuspended = "IntakeSuspended"
	// ReasonDeliveriesSuspended: spec.suspend is Deliveries, as was asked for. Set
	// it to None before the queue is full.
	ReasonDeliveriesSuspended = "DeliveriesSuspended"
	// ReasonInvalidSpec: the schema took the specification, and yet it cannot work.
	// Change the field that the message names. What runs goes on as it was.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonNotAllowed: whoever runs the operator does not allow this exposure, host
	// or annotation here. Choose another, or ask them.
	ReasonNotAllowed = "NotAllowed"
	// ReasonNameConflict: an object of a name that is needed belongs to somebody
	// else. Rename or delete that object, or name the endpoint differently.
	ReasonNameConflict = "NameConflict"
	// ReasonFailed: the operator ran into an error and tries again. If it stays, the
	// message says what the API server refused.
	ReasonFailed = "Failed"
	// ReasonRollingOut: receivers are being replaced; those that run still serve.
	// Wait.
	ReasonRollingOut = "RollingOut"
	// ReasonConfigPending: receivers have not taken the newest configuration yet.
	// The kubelet may need 90 seconds. Wait.
	ReasonConfigPending = "ConfigPending"
	// ReasonConfigRefused: a receiver cannot read the newest configuration and goes
	// on with the one before. Let operator and receivers have the same version.
	ReasonConfigRefused = "ConfigRefused"
)

// Reasons of ProviderResolved.
const (
	// ReasonBuiltIn: the profile comes with the operator. Nothing to do.
	ReasonBuiltIn = "BuiltIn"
	// ReasonWebhookProvider: the profile is a WebhookProvider. Nothing to do.
	ReasonWebhookProvider = "WebhookProvider"
	// ReasonProviderUnknown: there is no profile of that name. Choose one of those
	// that the message lists, or make a WebhookProvider.
	ReasonProviderUnknown = "ProviderUnknown"
)

// Reasons of ProviderResolved, and of a WebhookProvider's Ready.
const (
	// ReasonOverridesBuiltIn: a WebhookProvider replaces the built-in profile, as it
	// says itself. Nothing to do, if that is meant.
	ReasonOverridesBuiltIn = "OverridesBuiltIn"
	// ReasonProviderInvalid: the WebhookProvider cannot be used. Mend it as its own
	// status says; until then endpoints keep the last good profile.
	ReasonProviderInvalid = "ProviderInvalid"
)

// Reasons of a WebhookProvider's Ready.
const (
	// ReasonValid: the profile can be used. Nothing to do.
	ReasonValid = "Valid"
)

// Reasons of SecretReady.
const (
	// ReasonSecretsUsable: every receiver holds usable secrets. Nothing to do.
	ReasonSecretsUsable = "SecretsUsable"
	// ReasonSecretMissing: no receiver can verify anything. Make the Secret, or add
	// the entries that the message names.
	ReasonSecretMissing = "SecretMissing"
	// ReasonEntryMissing: some entries of spec.secretRef.keys are not in the Secret.
	// Add them, or take them out of the list.
	ReasonEntryMissing = "EntryMissing"
	// ReasonEntryUnusable: an entry is there and cannot be used, or is weak. Put the
	// provider's secret into it as the message says.
	ReasonEntryUnusable = "EntryUnusable"
)

// Reasons of SinksReady.
const (
	// ReasonSinksDelivering: nothing to do.
	ReasonSinksDelivering = "SinksDelivering"
	// ReasonSinkPending: a sink waits for an entry of a Secret that is missing. Add
	// it. Its events wait.
	ReasonSinkPending = "SinkPending"
	// ReasonSinkFailing: a sink refuses or cannot be reached. Look at the sink; its
	// events wait and are tried again.
	ReasonSinkFailing = "SinkFailing"
	// ReasonDiskFilling: a receiver's disk is nearly full; then intake answers 503.
	// Free space on it, or see to what waits in the queue.
	ReasonDiskFilling = "DiskFilling"
	// ReasonQueueFilling: a queue is more than half full. The message says of which
	// sink's events, and what happens when it is full. See to that sink, or raise
	// spec.queue.capacity.
	ReasonQueueFilling = "QueueFilling"
	// ReasonDeadLettersFilling: dead letters take more than half of their room. The
	// message says what happens when it is full. Replay or drop them, or raise
	// spec.queue.deadLetters.capacity.
	ReasonDeadLettersFilling = "DeadLettersFilling"
)

// Reasons of Available. Those of pods that cannot start are the kubelet's own,
// such as ImagePullBackOff, or the scheduler's Unschedulable.
const (
	// ReasonReceiversAvailable: nothing to do.
	ReasonReceiversAvailable = "ReceiversAvailable"
	// ReasonNoReceivers: no receiver is ready. If it stays, describe the pods.
	ReasonNoReceivers = "NoReceivers"
	// ReasonCrashing: a receiver ends again and again. The message holds its last
	// words.
	ReasonCrashing = "Crashing"
	// ReasonNotApplied: there is nothing yet that could run. See Ready.
	ReasonNotApplied = "NotApplied"
)

// Reasons of Exposed.
const (
	// ReasonExposed: nothing to do.
	ReasonExposed = "Exposed"
	// ReasonAddressPending: the load balancer has no address yet. If it stays, see
	// the Service's events.
	ReasonAddressPending = "AddressPending"
	// ReasonRoutePending: no Gateway has said yet whether it takes the route. See
	// that the Gateway exists and that its controller runs.
	ReasonRoutePending = "RoutePending"
	// ReasonRouteRefused: the Gateway does not take the route. The message is its
	// own.
	ReasonRouteRefused = "RouteRefused"
	// ReasonGatewayAPIMissing: the cluster has no Gateway API. Install it, or choose
	// another exposure. The route is made as soon as it is there.
	ReasonGatewayAPIMissing = "GatewayAPIMissing"
	// ReasonIngressFromMissing: the NetworkPolicy lets nobody to the receivers. List
	// the proxy's pods in spec.networkPolicy.ingressFrom.
	ReasonIngressFromMissing = "IngressFromMissing"
)

// Further reasons of Exposed.
const (
	// ReasonHostConflict: an older endpoint has this host and path, or one of its
	// hooks has. Choose another spec.exposure.path or host; until then nothing leads
	// to this endpoint.
	ReasonHostConflict = "HostConflict"
	// ReasonCertificateMissing: receivers have no certificate to serve TLS with. Make
	// the Secret that the message names, or see why its issuer does not.
	ReasonCertificateMissing = "CertificateMissing"
	// ReasonCertificateExpiring: the certificate ends soon, or has ended. Renew it;
	// receivers take the new one by themselves.
	ReasonCertificateExpiring = "CertificateExpiring"
	// ReasonCertManagerMissing: the cluster has no cert-manager. Install it, or name
	// a Secret in spec.exposure.tls.secretName and take issuerRef out.
	ReasonCertManagerMissing = "CertManagerMissing"
)

// Further reasons of SinksReady, which speaks of responders too.
const (
	// ReasonResponderFailing: a responder fails, and the provider is answered as
	// onFailure says. Look at the responder.
	ReasonResponderFailing = "ResponderFailing"
	// ReasonResponderPending: a responder waits for an entry of a Secret that is
	// missing, and the provider is answered as onFailure says. Add it.
	ReasonResponderPending = "ResponderPending"
)

// ReasonSourceHidden is of SourcePreserved: verified requests come from
// addresses that cannot be the provider's own. The message says whose they seem
// to be, and the cure for this type of exposure.
const ReasonSourceHidden = "SourceHidden"

// Reasons of SourcePreserved.
const (
	// ReasonSourceSeen: verified requests came from listed addresses. Nothing to do.
	ReasonSourceSeen = "SourceSeen"
	// ReasonNoTraffic: no verified request has come yet. Send one from the provider.
	ReasonNoTraffic = "NoTraffic"
	// ReasonUnlistedSender: a valid signature came from an unlisted address. Either
	// the provider has new addresses, or a proxy hides the client's: list the proxy
	// in spec.sources.trustedProxies.
	ReasonUnlistedSender = "UnlistedSender"
)

// Reasons of Durable.
const (
	// ReasonSyncedOnNode: events are on the node's disk before they are
	// acknowledged. If the loss of a node must lose none, use queue.type Persistent.
	ReasonSyncedOnNode = "SyncedOnNode"
	// ReasonSyncedOnVolume: events are on a volume before they are acknowledged.
	// Nothing to do.
	ReasonSyncedOnVolume = "SyncedOnVolume"
	// ReasonNotSynced: a receiver acknowledges what is not on disk. Do not use it.
	ReasonNotSynced = "NotSynced"
)

// ReasonEventsLeftBehind is of an Event and of no condition: a receiver ended and
// could not hand over all that it had queued. The Event says how much, and why.
// With a Persistent queue, scale out again: the volume holds it.
const ReasonEventsLeftBehind = "EventsLeftBehind"

// ReasonUnreachable is of every condition that receivers report, and its status
// Unknown: no receiver can be asked. See Available, and whether a network policy
// keeps the operator from port 9090 of the pods.
const ReasonUnreachable = "Unreachable"
