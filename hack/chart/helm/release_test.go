package helm

import (
	"log/slog"
	"os"
	"testing"

	action3 "helm.sh/helm/v3/pkg/action"
	chart3 "helm.sh/helm/v3/pkg/chart"
	loader3 "helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// A helm does with the release what people do on the command line, and waits for it;
// but not after an upgrade, because an endpoint among the values becomes Ready only
// where receivers run.
type helm interface {
	// install installs the chart with the default values of an earlier version, or
	// with its own if that is "".
	install(t *testing.T, earlier, text string)
	// upgrade upgrades to the chart as it is, and reuses the values of before.
	upgrade(t *testing.T, text string)
	rollback(t *testing.T, revision int)
	uninstall(t *testing.T)
}

func (c *cluster) getter() genericclioptions.RESTClientGetter {
	flags := genericclioptions.NewConfigFlags(false)
	ns := namespace
	flags.KubeConfig, flags.Namespace = &c.kubeconfig, &ns
	return flags
}

func released(t *testing.T, version string) map[string]any {
	t.Helper()
	data, err := os.ReadFile("testdata/released/" + version + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return values(t, string(data))
}

type helm4 struct{ *cluster }

func (h helm4) action(t *testing.T) *action.Configuration {
	t.Helper()
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := cfg.Init(h.getter(), namespace, ""); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func (h helm4) install(t *testing.T, earlier, text string) {
	t.Helper()
	c := load(t)
	if earlier != "" {
		c.Metadata.Version, c.Values = earlier, released(t, earlier)
	}
	do := action.NewInstall(h.action(t))
	do.ReleaseName, do.Namespace, do.WaitStrategy, do.Timeout = release, namespace, kube.StatusWatcherStrategy, patience
	if _, err := do.RunWithContext(t.Context(), c, values(t, text)); err != nil {
		t.Fatalf("helm install: %v", err)
	}
}

func (h helm4) upgrade(t *testing.T, text string) {
	t.Helper()
	do := action.NewUpgrade(h.action(t))
	do.Namespace, do.WaitStrategy, do.ReuseValues = namespace, kube.HookOnlyStrategy, true
	if _, err := do.RunWithContext(t.Context(), release, load(t), values(t, text)); err != nil {
		t.Fatalf("helm upgrade --reuse-values: %v", err)
	}
}

func (h helm4) rollback(t *testing.T, revision int) {
	t.Helper()
	do := action.NewRollback(h.action(t))
	do.Version, do.WaitStrategy, do.Timeout = revision, kube.StatusWatcherStrategy, patience
	if err := do.Run(release); err != nil {
		t.Fatalf("helm rollback: %v", err)
	}
}

func (h helm4) uninstall(t *testing.T) {
	t.Helper()
	do := action.NewUninstall(h.action(t))
	do.WaitStrategy, do.Timeout = kube.StatusWatcherStrategy, patience
	if _, err := do.Run(release); err != nil {
		t.Fatalf("helm uninstall: %v", err)
	}
}

type helm3 struct{ *cluster }

func (h helm3) action(t *testing.T) *action3.Configuration {
	t.Helper()
	cfg := &action3.Configuration{}
	if err := cfg.Init(h.getter(), namespace, "", func(string, ...any) {}); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func (h helm3) chart(t *testing.T) *chart3.Chart {
	t.Helper()
	c, err := loader3.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (h helm3) install(t *testing.T, earlier, text string) {
	t.Helper()
	c := h.chart(t)
	if earlier != "" {
		c.Metadata.Version, c.Values = earlier, released(t, earlier)
	}
	do := action3.NewInstall(h.action(t))
	do.ReleaseName, do.Namespace, do.Wait, do.Timeout = release, namespace, true, patience
	if _, err := do.RunWithContext(t.Context(), c, values(t, text)); err != nil {
		t.Fatalf("helm install: %v", err)
	}
}

func (h helm3) upgrade(t *testing.T, text string) {
	t.Helper()
	do := action3.NewUpgrade(h.action(t))
	do.Namespace, do.ReuseValues = namespace, true
	if _, err := do.RunWithContext(t.Context(), release, h.chart(t), values(t, text)); err != nil {
		t.Fatalf("helm upgrade --reuse-values: %v", err)
	}
}

func (h helm3) rollback(t *testing.T, revision int) {
	t.Helper()
	do := action3.NewRollback(h.action(t))
	do.Version, do.Wait, do.Timeout = revision, true, patience
	if err := do.Run(release); err != nil {
		t.Fatalf("helm rollback: %v", err)
	}
}

func (h helm3) uninstall(t *testing.T) {
	t.Helper()
	do := action3.NewUninstall(h.action(t))
	do.Wait, do.Timeout = true, patience
	if _, err := do.Run(release); err != nil {
		t.Fatalf("helm uninstall: %v", err)
	}
}
