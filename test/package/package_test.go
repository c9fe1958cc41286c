// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build package

package packages

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two versions, so that one can be upgraded to the other. A package of before comes before its release.
const older, newer = "0.8.0-rc.1", "0.8.0"

// epoch stands for the time of the commit.
const epoch = "1750000000"

// build makes packages of the sources in folder and returns their paths by name.
func build(t *testing.T, folder, version, only string) map[string]string {
	t.Helper()
	out := t.TempDir()
	cmd := exec.Command("packaging/package.sh", version, "amd64", out)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+epoch, "ONLY="+only)
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	packages := map[string]string{}
	found, err := filepath.Glob(filepath.Join(out, "*.deb"))
	require.NoError(t, err)
	for _, path := range found {
		name, _, _ := strings.Cut(filepath.Base(path), "_")
		packages[name] = path
	}
	return packages
}

var built = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "tailrace-packages") })

// newest returns both packages of the newer version, which are built once for all tests.
func newest(t *testing.T) map[string]string {
	t.Helper()
	dir, err := built()
	require.NoError(t, err)
	packages := map[string]string{"tailrace": filepath.Join(dir, "tailrace_new.deb"), "tailrace-clickhouse": filepath.Join(dir, "tailrace-clickhouse_new.deb")}
	if _, err := os.Stat(packages["tailrace-clickhouse"]); err == nil {
		return packages
	}
	made := build(t, repository, newer, "")
	for name, path := range packages {
		require.NotEmpty(t, made[name])
		run(t, "cp", made[name], path)
	}
	return packages
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := built(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// The same sources give the same packages, whatever folder they lie in. With TAILRACE_TEST_FRESH=1 the second build begins without Go's build cache,
// which takes some minutes more.
func TestPackagesAreReproducible(t *testing.T) {
	first := newest(t)
	elsewhere := filepath.Join(t.TempDir(), "some", "other", "folder")
	require.NoError(t, os.MkdirAll(elsewhere, 0o755))
	run(t, "bash", "-c", `cd "$1" && git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -c | tar -x -C "$2"`, "bash", repository, elsewhere)
	require.NoError(t, os.MkdirAll(filepath.Join(elsewhere, "_build"), 0o755))
	library, err := filepath.EvalSymlinks(filepath.Join(repository, "_build", "libchdb.so"))
	require.NoError(t, err)
	library, err = filepath.Abs(library)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(library, filepath.Join(elsewhere, "_build", "libchdb.so")))
	if os.Getenv("TAILRACE_TEST_FRESH") != "" {
		t.Setenv("GOCACHE", filepath.Join(t.TempDir(), "cache"))
	}
	run(t, "make", "-C", elsewhere, "--silent", "_build/src/main.go")
	second := build(t, elsewhere, newer, "")
	for name, path := range first {
		assert.Equal(t, sum(t, path), sum(t, second[name]), name)
	}
	// And another version gives another one: the comparison can fail.
	assert.NotEqual(t, sum(t, first["tailrace"]), sum(t, build(t, repository, older, "tailrace")["tailrace"]))
}

func sum(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(raw))
}

// Installed, started, filled, upgraded with data and changed configuration kept, removed, installed again, purged.
func TestLifeOfThePackages(t *testing.T) {
	r := newRoot(t)
	old, packages := build(t, repository, older, "tailrace"), newest(t)

	r.add(old["tailrace"], packages["tailrace-clickhouse"])
	r.run("apt-get install -y ./*.deb")
	r.run(ready)
	assert.Equal(t, "tailrace version "+older, strings.TrimSpace(r.run("tailrace --version")))
	assert.Equal(t, "tailctl version "+older, strings.TrimSpace(r.run("tailctl --version")))
	assert.Equal(t, "enabled", strings.TrimSpace(r.run("systemctl is-enabled tailrace")))

	t.Run("who may read what", func(t *testing.T) {
		assert.Equal(t, "root:tailrace 750", r.stat("/etc/tailrace"))
		assert.Equal(t, "root:root 600", r.stat("/etc/tailrace/secrets.env"))
		assert.Equal(t, "tailrace:tailrace 750", r.stat("/var/lib/tailrace"))
		assert.Equal(t, "tailrace:tailrace 700", r.stat("/var/lib/tailrace/clickhouse"))
		out, err := r.try("setpriv --reuid tailrace --regid tailrace --init-groups cat /etc/tailrace/secrets.env")
		require.Error(t, err, "the service's user reads the secrets")
		assert.Contains(t, out, "Permission denied")
		out, err = r.try("setpriv --reuid nobody --regid nogroup --clear-groups ls /var/lib/tailrace")
		require.Error(t, err, "a stranger reads the data")
		assert.Contains(t, out, "Permission denied")
		assert.Equal(t, "tailrace", strings.TrimSpace(r.run("ps -o user= -p "+r.show("MainPID"))), "the user of the service")
	})
	t.Run("what the service may do", func(t *testing.T) {
		r.run("systemd-analyze verify --man=no tailrace.service")
		out := r.run("systemd-analyze security --offline=true --threshold=20 --no-pager tailrace.service")
		_, verdict, found := strings.Cut(out, "→")
		require.True(t, found, out)
		t.Log(strings.TrimSpace(verdict))
		status := r.run("cat /proc/" + r.show("MainPID") + "/status")
		for _, want := range []string{"CapBnd:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
			assert.Contains(t, status, want)
		}
		for _, place := range []string{"/etc", "/usr/lib/tailrace", "/var/log", "/var/cache"} {
			out, err := r.try("nsenter -m -t " + r.show("MainPID") + " touch " + place + "/x")
			require.Error(t, err, "root can write to %s where the service lives", place)
			assert.Contains(t, out, "Read-only file system")
		}
		r.run("nsenter -m -t " + r.show("MainPID") + " touch /var/lib/tailrace/x && rm /var/lib/tailrace/x")
	})

	r.run(sendLog("before the upgrade"))
	r.awaitRows("before the upgrade", "1")
	password := r.run("cat /etc/tailrace/secrets.env")
	r.run("sed -i 's/limit_mib: 512/limit_mib: 640/' /etc/tailrace/tailrace.yaml")

	r.add(packages["tailrace"])
	before := r.show("MainPID")
	r.run("apt-get install -y ./*.deb")
	r.run(ready)
	assert.NotEqual(t, before, r.show("MainPID"), "the old version goes on")
	assert.Equal(t, "tailrace version "+newer, strings.TrimSpace(r.run("tailrace --version")))
	assert.Contains(t, r.run("journalctl --no-pager -u tailrace _PID="+r.show("MainPID")), `"service.version": "`+newer+`"`)
	assert.Equal(t, password, r.run("cat /etc/tailrace/secrets.env"), "the password of a ClickHouse that has data")
	assert.Contains(t, r.run("cat /etc/tailrace/tailrace.yaml"), "limit_mib: 640", "what an administrator changed")
	r.awaitRows("before the upgrade", "1")
	r.run(sendLog("after the upgrade"))
	r.awaitRows("after the upgrade", "1")

	t.Run("reload and kill", func(t *testing.T) {
		pid := r.show("MainPID")
		r.run("systemctl reload tailrace; sleep 1")
		r.run(ready)
		assert.Equal(t, pid, r.show("MainPID"))
		r.run("systemctl kill --kill-who=main --signal=KILL tailrace; until [ $(systemctl show --value -p NRestarts tailrace) = 1 ]; do sleep 0.1; done")
		r.run(ready)
		r.awaitRows("after the upgrade", "1")
	})

	var sbom struct {
		BOMFormat  string `json:"bomFormat"`
		Components []struct{ Name, Version string }
	}
	require.NoError(t, json.Unmarshal([]byte(r.run("cat /usr/share/doc/tailrace/tailrace.cdx.json")), &sbom))
	assert.Equal(t, "CycloneDX", sbom.BOMFormat)
	assert.Contains(t, fmt.Sprint(sbom.Components), "{go.opentelemetry.io/collector/otelcol v")
	assert.Greater(t, len(sbom.Components), 100)

	r.run("apt-get remove -y tailrace tailrace-clickhouse")
	_, err := r.try("systemctl is-active tailrace")
	require.Error(t, err, "the service goes on")
	assert.Empty(t, strings.TrimSpace(r.run("ps -o pid= -u tailrace || true; ls -A /usr/lib/tailrace 2>/dev/null || true")))
	r.run("test -d /var/lib/tailrace/jsonl && test -f /etc/tailrace/tailrace.yaml && test -f /etc/tailrace/secrets.env")

	r.add(packages["tailrace"], packages["tailrace-clickhouse"])
	r.run("apt-get install -y ./*.deb")
	r.run(ready)
	r.awaitRows("before the upgrade", "1")
	r.awaitRows("after the upgrade", "1")

	r.run("apt-get purge -y tailrace tailrace-clickhouse")
	assert.Empty(t, strings.TrimSpace(r.run("ls -d /var/lib/tailrace /etc/tailrace /usr/lib/tailrace /lib/systemd/system/tailrace.service 2>/dev/null || true")))
	assert.Empty(t, strings.TrimSpace(r.run("find / -xdev -iname '*tailrace*' -not -path '/root/*' -not -path '/proc/*' -not -path '/var/log/*' -not -path '/dev/*' -not -path '/sys/*'")))
	assert.Contains(t, r.run("getent passwd tailrace"), "nologin")
}

// show returns a property of the service.
func (r *root) show(property string) string {
	r.t.Helper()
	return strings.TrimSpace(r.run("systemctl show --value -p " + property + " tailrace"))
}

// stat returns owner, group and mode.
func (r *root) stat(path string) string {
	return strings.TrimSpace(r.run("stat -c '%U:%G %a' " + path))
}

func (r *root) awaitRows(body, want string) {
	r.t.Helper()
	query := `curl -sSf localhost:4423 -H 'X-ClickHouse-User: tailrace' -H "X-ClickHouse-Key: $TAILRACE_CLICKHOUSE_PASSWORD" --data-binary "SELECT count() FROM tailrace.otel_logs WHERE Body = '` + body + `'"`
	r.run(`. /etc/tailrace/secrets.env; for i in $(seq 150); do n=$(` + query + `) || true; [ "$n" = ` + want + ` ] && exit; sleep 0.2; done; echo "rows: $n"; exit 1`)
}

func sendLog(body string) string {
	return `curl -sSf localhost:4318/v1/logs -H 'Content-Type: application/json' -d '{"resourceLogs": [{"resource": {"attributes": [{"key": "project.id", "value": {"stringValue": "p"}}]},
 "scopeLogs": [{"logRecords": [{"timeUnixNano": "'$(date +%s%N)'", "body": {"stringValue": "` + body + `"}}]}]}]}'`
}
