// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package columnar

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var quick = flag.Bool("quick", false, "compare the ratios of CPU time with those in testdata/ratios.json; by hand, for `make bench-quick`")

// A ratio may lose a fifth: what is lost beyond that was not the machine. CPU time of two that take turns is what a busy machine
// changes least.
const mayLose = 0.2

func TestRatiosHaveNotDecayed(t *testing.T) {
	if !*quick {
		return
	}
	raw, err := os.ReadFile("testdata/ratios.json")
	require.NoError(t, err)
	var committed map[string]float64
	require.NoError(t, json.Unmarshal(raw, &committed))
	got := map[string]float64{}
	for signal, run := range map[string]func(*testing.B){"spans": BenchmarkSpans, "logs": BenchmarkLogs} {
		result := testing.Benchmark(run)
		require.Positive(t, result.N, "the benchmark of %s failed", signal)
		for _, ratio := range []string{"contrib/lz4", "contrib/none"} {
			got[signal+" "+ratio] = result.Extra[ratio]
		}
	}
	for name, was := range committed {
		t.Logf("%s: %.2f, committed %.2f", name, got[name], was)
		assert.GreaterOrEqual(t, got[name], (1-mayLose)*was, "%s decayed from %.2f", name, was)
	}
}
