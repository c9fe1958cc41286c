// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package helm holds the Helm chart to Helm and to Kubernetes: `make check-helm`. It is a module of its own, because Helm brings half of
// Kubernetes along.
package helm

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
)

const chart = "../../../deploy/helm/tailrace"

func helm(args ...string) (string, error) {
	out, err := exec.Command("go", append([]string{"tool", "helm"}, args...)...).CombinedOutput()
	return string(out), err
}

// render returns the objects of the chart. A field that Kubernetes does not know fails the test.
func render(t *testing.T, args ...string) map[string]runtime.Object {
	t.Helper()
	out, err := helm(append([]string{"template", "release", chart, "--kube-version", "1.30.0"}, args...)...)
	require.NoError(t, err, out)
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	objects := map[string]runtime.Object{}
	for _, document := range strings.Split(out, "\n---\n") {
		document = strings.TrimPrefix(document, "---\n")
		if strings.TrimSpace(document) == "" {
			continue
		}
		object, kind, err := decoder.Decode([]byte(document), nil, nil)
		require.NoError(t, err, document)
		objects[kind.Kind] = object
	}
	return objects
}

func TestLint(t *testing.T) {
	out, err := helm("lint", "--strict", chart)
	require.NoError(t, err, out)
	assert.Contains(t, out, "0 chart(s) failed")
}

func TestDefaults(t *testing.T) {
	objects := render(t)
	require.Len(t, objects, 3)
	set := objects["StatefulSet"].(*appsv1.StatefulSet)
	pod := set.Spec.Template.Spec
	require.Len(t, pod.Containers, 1)
	c := pod.Containers[0]
	assert.True(t, *pod.SecurityContext.RunAsNonRoot)
	assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	assert.False(t, *pod.AutomountServiceAccountToken)
	assert.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	secret := objects["Secret"].(*corev1.Secret)
	assert.Len(t, secret.Data["password"], 32)
	assert.Equal(t, secret.Name, c.Env[0].ValueFrom.SecretKeyRef.Name)
	service := objects["Service"].(*corev1.Service)
	assert.Equal(t, set.Spec.Template.Labels["app.kubernetes.io/instance"], service.Spec.Selector["app.kubernetes.io/instance"])
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	require.Len(t, service.Spec.Ports, 2, "the console is not for everybody")
	for _, p := range service.Spec.Ports {
		assert.True(t, ports[p.TargetPort.StrVal], p.Name)
	}
	mounts := map[string]bool{"data": false, "tmp": false}
	for _, m := range c.VolumeMounts {
		mounts[m.Name] = true
	}
	assert.Equal(t, map[string]bool{"data": true, "tmp": true}, mounts)
	require.Len(t, set.Spec.VolumeClaimTemplates, 1)
	assert.Equal(t, "data", set.Spec.VolumeClaimTemplates[0].Name)
}

func TestEverythingSwitched(t *testing.T) {
	objects := render(t, "--set", "config=receivers: {}", "--set", "clickhouse.existingSecret=mine,persistence.enabled=false,service.console=true,networkPolicy.enabled=true",
		"--set", "imagePullSecrets[0].name=pull,env[0].name=A,env[0].value=b,envFrom[0].secretRef.name=more",
		"--set", "volumes[0].name=tls,volumes[0].secret.secretName=tls,volumeMounts[0].name=tls,volumeMounts[0].mountPath=/tls",
		"--set", "podAnnotations.a=b,nodeSelector.disk=ssd,tolerations[0].key=k,tolerations[0].operator=Exists,persistence.storageClassName=fast")
	require.NotContains(t, objects, "Secret")
	require.Contains(t, objects, "NetworkPolicy")
	assert.Equal(t, "receivers: {}", strings.TrimSpace(objects["ConfigMap"].(*corev1.ConfigMap).Data["tailrace.yaml"]))
	set := objects["StatefulSet"].(*appsv1.StatefulSet)
	assert.Empty(t, set.Spec.VolumeClaimTemplates)
	c := set.Spec.Template.Spec.Containers[0]
	assert.Equal(t, "mine", c.Env[0].ValueFrom.SecretKeyRef.Name)
	assert.Equal(t, corev1.EnvVar{Name: "TAILRACE_CONSOLE", Value: "0.0.0.0:4400"}, c.Env[1])
	volumes := map[string]bool{}
	for _, v := range set.Spec.Template.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		assert.True(t, volumes[m.Name], m.Name)
	}
	assert.Len(t, objects["Service"].(*corev1.Service).Spec.Ports, 3)
}

// The values that the guide has for a console with users are the chart's, and the files are where the configuration looks for them.
func TestValuesOfTheGuide(t *testing.T) {
	text, err := os.ReadFile("../../../docs/how-to/kubernetes.md")
	require.NoError(t, err)
	blocks := strings.Split(string(text), "```yaml\n")
	require.Len(t, blocks, 3)
	values, _, _ := strings.Cut(blocks[2], "```")
	file := filepath.Join(t.TempDir(), "users.yaml")
	require.NoError(t, os.WriteFile(file, []byte(values), 0o600))
	objects := render(t, "--values", file, "--set-file", "config=../../../config/team.yaml")
	c := objects["StatefulSet"].(*appsv1.StatefulSet).Spec.Template.Spec.Containers[0]
	assert.Contains(t, c.Env, corev1.EnvVar{Name: "TAILRACE_HTPASSWD", Value: "/etc/tailrace-users/htpasswd"})
	assert.Contains(t, c.VolumeMounts, corev1.VolumeMount{Name: "users", ReadOnly: true, MountPath: "/etc/tailrace-users"})
	assert.Contains(t, objects["ConfigMap"].(*corev1.ConfigMap).Data["tailrace.yaml"], "auth:")
}

// A change of the configuration starts the pod anew; a key that is mistyped is refused.
func TestValuesMatter(t *testing.T) {
	sum := func(config string) string {
		return render(t, "--set", "config="+config)["StatefulSet"].(*appsv1.StatefulSet).Spec.Template.Annotations["checksum/config"]
	}
	assert.NotEqual(t, sum("a"), sum("b"))
	out, err := helm("template", "release", chart, "--kube-version", "1.30.0", "--set", "persistance.enabled=false")
	require.Error(t, err)
	assert.Contains(t, out, "persistance")
}
