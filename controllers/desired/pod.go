package desired

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// The names of the receiver's ports.
const (
	webhookPortName   = "webhook"
	telemetryPortName = "telemetry"
	internalPortName  = "internal"
)

// Where the receiver finds what it is given.
const (
	configVolume = "config"
	configDir    = "/etc/fairlead/config"
	secretsDir   = "/etc/fairlead/secrets" //nolint:gosec // G101: a directory, and no secret
	secretMode   = 0o440                   // for the group, which is the pod's
	dataVolume   = "data"
	dataDir      = "/var/lib/fairlead"
)

const (
	// user is nobody's in particular. A number, because only with one can the
	// kubelet see that it is not root.
	user = 65532
	// terminationLog is where a receiver says, when it ends, what it leaves behind.
	// The kubelet puts it there, writable, and has the pod's status tell it.
	terminationLog = "/dev/termination-log"
	// adminListen is where people reach the receiver by a port that is forwarded to
	// the pod, and nobody else does.
	adminListen = "127.0.0.1:8081"
	// handOff is how long a stopping receiver may hand what is left in an Ephemeral
	// queue to its sisters.
	handOff = 30 * time.Second
	// stopMargin is what a receiver may need to stop beside drain times and
	// hand-off: to answer what is in flight and to close the queue.
	stopMargin = 30 * time.Second
	// heapShare is the part of the memory limit, in percent, at which the garbage
	// collector works harder. The rest is for what it does not count.
	heapShare = 85
)

// podTemplate changes only when a receiver must be restarted: all else is taken
// live from the mounted files, so that nothing of their content stands in it.
func (b *builder) podTemplate() (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	spec := corev1ac.PodSpec().
		WithServiceAccountName(b.name()).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(b.terminationSeconds()).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(user).WithRunAsGroup(user).WithFSGroup(user).
			WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithContainers(b.container()).
		WithVolumes(b.volumes()...)
	if err := b.place(spec); err != nil {
		return nil, err
	}
	return corev1ac.PodTemplateSpec().WithLabels(b.labels()).WithSpec(spec), nil
}

// terminationSeconds is how long the kubelet waits for a receiver to stop: it
// takes requests for the delay, delivers for the grace, hands over what is left,
// and closes. What takes longer is killed; an Ephemeral queue is lost with it.
func (b *builder) terminationSeconds() int64 {
	d := b.in.Config.Drain
	all := d.Delay.Duration + d.Grace.Duration + stopMargin
	if !Persistent(b.ep) {
		all += handOff
	}
	return int64((all + time.Second - 1) / time.Second)
}

func (b *builder) container() *corev1ac.ContainerApplyConfiguration {
	c := corev1ac.Container().
		WithName(ContainerName).
		WithImage(b.in.Image).
		WithArgs(b.arguments()...).
		WithPorts(port(webhookPortName, WebhookPort), port(telemetryPortName, TelemetryPort), port(internalPortName, InternalPort)).
		WithVolumeMounts(b.mounts()...).
		WithTerminationMessagePath(terminationLog).
		WithTerminationMessagePolicy(corev1.TerminationMessageFallbackToLogsOnError).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		// A start may have to read a long log of the queue: five minutes.
		WithStartupProbe(probe("/healthz", 2, 2, 150)).
		// A restart helps against little and costs what is in flight: a minute.
		WithLivenessProbe(probe("/healthz", 10, 5, 6)).
		WithReadinessProbe(probe("/readyz", 5, 3, 3))
	if r := b.resources(); r != nil {
		c.WithResources(r)
	}
	c.WithEnv(ofPod(hostIPs, "status.hostIPs"), ofPod(podIPs, "status.podIPs"))
	if limit, ok := b.ep.Spec.Receiver.Resources.Limits[corev1.ResourceMemory]; ok {
		c.WithEnv(corev1ac.EnvVar().WithName("GOMEMLIMIT").WithValue(heapLimit(limit)))
	}
	return c
}

// The variables with the addresses of the node and of the pod, by which a
// receiver tells that a client's address is not the client's.
const (
	hostIPs = "HOST_IPS"
	podIPs  = "POD_IPS"
)

// ofPod is a variable with a field of the pod.
func ofPod(name, field string) *corev1ac.EnvVarApplyConfiguration {
	return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().
		WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath(field)))
}

func (b *builder) arguments() []string {
	all := []string{
		"--config=" + path.Join(configDir, ConfigKey),
		"--secrets-dir=" + secretsDir,
		"--data-dir=" + dataDir,
		fmt.Sprintf("--data-max-bytes=%d", b.dataBytes()),
		"--queue-type=" + string(or(b.ep.Spec.Queue.Type, v1alpha1.QueueEphemeral)),
		fmt.Sprintf("--listen=:%d", WebhookPort),
		fmt.Sprintf("--telemetry-listen=:%d", TelemetryPort),
		fmt.Sprintf("--internal-listen=:%d", InternalPort),
		"--admin-listen=" + adminListen,
		"--termination-message=" + terminationLog,
		"--host-ips=$(" + hostIPs + ")",
		"--pod-ips=$(" + podIPs + ")",
	}
	if ServesTLS(b.ep) {
		all = append(all, "--tls-dir="+tlsDir)
	}
	if !Persistent(b.ep) { // what is left on a volume waits there for the receiver to come back
		all = append(all, fmt.Sprintf("--peers=%s.%s.svc:%d", HeadlessName(b.ep.Name), b.ep.Namespace, InternalPort))
	}
	return all
}

func port(name string, number int32) *corev1ac.ContainerPortApplyConfiguration {
	return corev1ac.ContainerPort().WithName(name).WithContainerPort(number).WithProtocol(corev1.ProtocolTCP)
}

func probe(path string, period, timeout, failures int32) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().
		WithHTTPGet(corev1ac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString(telemetryPortName))).
		WithPeriodSeconds(period).WithTimeoutSeconds(timeout).WithFailureThreshold(failures)
}

// heapLimit is in bytes: the downward API could give the limit itself, but no
// part of it.
func heapLimit(memory resource.Quantity) string {
	bytes := memory.Value()
	return strconv.FormatInt(bytes/100*heapShare+bytes%100*heapShare/100, 10)
}

func (b *builder) resources() *corev1ac.ResourceRequirementsApplyConfiguration {
	r := b.ep.Spec.Receiver.Resources
	if len(r.Requests)+len(r.Limits) == 0 {
		return nil
	}
	out := corev1ac.ResourceRequirements()
	if len(r.Requests) > 0 { // the apply configuration would write an empty list as null
		out.WithRequests(canonicalList(r.Requests))
	}
	if len(r.Limits) > 0 {
		out.WithLimits(canonicalList(r.Limits))
	}
	return out
}

func canonicalList(in corev1.ResourceList) corev1.ResourceList {
	out := make(corev1.ResourceList, len(in))
	for name, q := range in {
		out[name] = canonical(q)
	}
	return out
}

// canonical returns q as the API server writes it: 0.1 as 100m, and 1024Mi as 1Gi.
func canonical(q resource.Quantity) resource.Quantity {
	q = q.DeepCopy()
	q.RoundUp(resource.Milli) // as the API server does; it also forgets how q was written
	return resource.MustParse(q.String())
}

// volumes are the configuration, the Secrets, and an Ephemeral queue's data.
// They are mounted as directories, because only those are kept up to date.
func (b *builder) volumes() []*corev1ac.VolumeApplyConfiguration {
	all := []*corev1ac.VolumeApplyConfiguration{
		corev1ac.Volume().WithName(configVolume).WithConfigMap(corev1ac.ConfigMapVolumeSource().
			WithName(ConfigMapName(b.ep.Name)).
			WithItems(corev1ac.KeyToPath().WithKey(ConfigKey).WithPath(ConfigKey))),
	}
	for _, name := range b.secrets() {
		all = append(all, ofSecret(secretVolume(name), name))
	}
	if ServesTLS(b.ep) {
		all = append(all, ofSecret(tlsVolume, TLSSecret(b.ep)))
	}
	if !Persistent(b.ep) {
		all = append(all, corev1ac.Volume().WithName(dataVolume).WithEmptyDir(corev1ac.EmptyDirVolumeSource().
			WithSizeLimit(quantity(b.volumeBytes()))))
	}
	return all
}

// ofSecret is a volume with a Secret, which need not be there: the receiver says
// what it lacks, and the kubelet brings it when it comes.
func ofSecret(volume, secret string) *corev1ac.VolumeApplyConfiguration {
	return corev1ac.Volume().WithName(volume).WithSecret(corev1ac.SecretVolumeSource().
		WithSecretName(secret).WithDefaultMode(secretMode).WithOptional(true))
}

func (b *builder) mounts() []*corev1ac.VolumeMountApplyConfiguration {
	all := []*corev1ac.VolumeMountApplyConfiguration{
		corev1ac.VolumeMount().WithName(configVolume).WithMountPath(configDir).WithReadOnly(true),
	}
	for _, name := range b.secrets() {
		all = append(all, corev1ac.VolumeMount().
			WithName(secretVolume(name)).WithMountPath(path.Join(secretsDir, name)).WithReadOnly(true))
	}
	if ServesTLS(b.ep) {
		all = append(all, corev1ac.VolumeMount().WithName(tlsVolume).WithMountPath(tlsDir).WithReadOnly(true))
	}
	return append(all, corev1ac.VolumeMount().WithName(dataVolume).WithMountPath(dataDir))
}

// secrets names the Secrets that the configuration takes files from, sorted.
func (b *builder) secrets() []string {
	names := map[string]bool{dirOf(b.in.Config.Secret.Dir): true}
	for _, s := range b.in.Config.Posted() {
		for _, file := range s.Files() {
			names[dirOf(file)] = true
		}
	}
	delete(names, "")
	return slices.Sorted(maps.Keys(names))
}

// dirOf is the first element of a path below the secrets' root: a Secret's name.
func dirOf(file string) string {
	dir, _, _ := strings.Cut(file, "/")
	return dir
}

// secretVolume names a Secret's volume after it, because a number would change
// with its neighbours; and after its digest, because a volume's name is shorter
// than a Secret's may be and has no dots.
func secretVolume(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return "secret-" + hex.EncodeToString(sum[:8])
}

// place says on which nodes receivers may run.
func (b *builder) place(spec *corev1ac.PodSpecApplyConfiguration) error {
	r := b.ep.Spec.Receiver
	spec.WithNodeSelector(r.NodeSelector)
	return errors.Join(
		convert(r.Tolerations, &spec.Tolerations),
		convert(r.Affinity, &spec.Affinity),
		convert(b.spread(), &spec.TopologySpreadConstraints))
}

// spread returns the constraints that were asked for; by default receivers are
// on different nodes, and in different zones, where that is possible.
func (b *builder) spread() []corev1.TopologySpreadConstraint {
	all := b.ep.Spec.Receiver.TopologySpreadConstraints
	if len(all) == 0 {
		for _, key := range []string{corev1.LabelHostname, corev1.LabelTopologyZone} {
			all = append(all, corev1.TopologySpreadConstraint{
				MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway,
			})
		}
	}
	for i := range all {
		if all[i].LabelSelector == nil {
			all[i].LabelSelector = &metav1.LabelSelector{MatchLabels: Selector(b.ep.Name)}
		}
	}
	return all
}

// convert makes an apply configuration of the API's own type: both have the same
// JSON, but for empty lists, which the former leaves out as the API server does.
func convert(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("writing %T: %w", from, err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("reading %T: %w", to, err)
	}
	return nil
}
