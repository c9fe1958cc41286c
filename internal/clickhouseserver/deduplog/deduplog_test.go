// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package deduplog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// table makes a table's folder with parts and logs, and returns the data folder and where the logs are.
func table(t testing.TB, parts []string, logs map[string]string) (data, dir string) {
	t.Helper()
	data = t.TempDir()
	of := filepath.Join(data, "store", "7f9", "7f997bbf-9f4d-4d6f-882f-3024dc60de0e")
	dir = filepath.Join(of, folder)
	for _, name := range append(parts, folder, "detached") {
		require.NoError(t, os.MkdirAll(filepath.Join(of, name), 0o700))
	}
	for name, text := range logs {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return data, dir
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	return string(text)
}

func TestABlockIDWithoutItsPartIsTakenBack(t *testing.T) {
	const log = "1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n1\tall_3_3_0\tc\n"
	for name, test := range map[string]struct {
		parts  []string
		log    string
		append string
	}{
		"all there":                        {[]string{"all_1_1_0", "all_2_2_0", "all_3_3_0"}, log, ""},
		"killed before the rename":         {[]string{"all_1_1_0", "all_2_2_0", "tmp_insert_all_3_3_0"}, log, "2\tall_3_3_0\tc\n"},
		"merged":                           {[]string{"all_1_2_1", "all_3_3_0"}, log, ""},
		"merged and mutated":               {[]string{"all_1_3_2_7"}, log, ""},
		"merged while one was lost":        {[]string{"all_1_2_1"}, log, "2\tall_3_3_0\tc\n"},
		"another partition":                {[]string{"20261130_1_3_1", "all_1_2_1"}, log, "2\tall_3_3_0\tc\n"},
		"a merge that was not finished":    {[]string{"tmp_merge_all_1_3_1", "all_1_1_0", "all_2_2_0", "all_3_3_0"}, log, ""},
		"dropped by ClickHouse":            {[]string{"all_1_1_0", "all_2_2_0"}, log + "2\tall_3_3_0\tc\n", ""},
		"repeated after it was taken back": {[]string{"all_1_2_1", "all_4_4_0"}, log + "2\tall_3_3_0\tc\n1\tall_4_4_0\tc\n", ""},
		"two ids of one part":              {nil, "1\tall_1_1_0\ta\n1\tall_1_1_0\tb\n", "2\tall_1_1_0\ta\n2\tall_1_1_0\tb\n"},
		"nothing":                          {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			data, dir := table(t, test.parts, map[string]string{"deduplication_log_1.txt": test.log})
			n, err := Mend(data)
			require.NoError(t, err)
			assert.Equal(t, strings.Count(test.append, "\n"), n)
			assert.Equal(t, test.log+test.append, read(t, dir, "deduplication_log_1.txt"))
			n, err = Mend(data)
			require.NoError(t, err)
			assert.Zero(t, n, "once is enough")
		})
	}
}

func TestTheNewestOfSeveralLogsIsWrittenTo(t *testing.T) {
	data, dir := table(t, []string{"all_1_1_0"}, map[string]string{
		"deduplication_log_9.txt": "1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n", "deduplication_log_10.txt": "1\tall_3_3_0\tc\n",
	})
	n, err := Mend(data)
	require.NoError(t, err)
	assert.Equal(t, 2, n)
	assert.Equal(t, "1\tall_3_3_0\tc\n2\tall_2_2_0\tb\n2\tall_3_3_0\tc\n", read(t, dir, "deduplication_log_10.txt"))
}

func TestOnlyWhatIsRecentIsLookedAt(t *testing.T) {
	old := "1\tall_1_1_0\told\n"
	log := strings.Repeat("1\tall_2_2_0\tb\n", tail-2)
	data, dir := table(t, []string{"all_2_2_0"}, map[string]string{
		"deduplication_log_1.txt": old + "1\tall_3_3_0\tc\n", "deduplication_log_2.txt": log, "deduplication_log_3.txt": "1\tall_4_4_0\td\n",
	})
	n, err := Mend(data)
	require.NoError(t, err)
	assert.Equal(t, 2, n, "the oldest is not among the last thousand lines")
	assert.Equal(t, "1\tall_4_4_0\td\n2\tall_3_3_0\tc\n2\tall_4_4_0\td\n", read(t, dir, "deduplication_log_3.txt"))
}

func TestAHalfLineIsCutOff(t *testing.T) {
	data, dir := table(t, []string{"all_1_1_0"}, map[string]string{"deduplication_log_1.txt": "1\tall_1_1_0\ta\n1\tall_2_"})
	n, err := Mend(data)
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.Equal(t, "1\tall_1_1_0\ta\n", read(t, dir, "deduplication_log_1.txt"))
}

func TestWhatIsNoLogIsLeftAsItIs(t *testing.T) {
	for _, text := range []string{"1\tall_1_1_0\n", "3\tall_1_1_0\ta\n", "1\twhat\ta\n", "1\tall_x_1_0\ta\n", "\n"} {
		data, dir := table(t, nil, map[string]string{"deduplication_log_1.txt": text})
		n, err := Mend(data)
		require.ErrorContains(t, err, "deduplication_logs: not a line", text)
		assert.Zero(t, n)
		assert.Equal(t, text, read(t, dir, "deduplication_log_1.txt"))
	}
	n, err := Mend(filepath.Join(t.TempDir(), "not there yet"))
	require.NoError(t, err)
	assert.Zero(t, n)
}

func FuzzMend(f *testing.F) {
	f.Add("1\tall_1_1_0\ta\n2\tall_1_1_0\ta\n1\t20261130_5_7_1_9\tb\n")
	f.Add("1\tall_1_1_0\ta\n1\tall_")
	f.Add("\t\t\n")
	f.Fuzz(func(t *testing.T, text string) {
		data, dir := table(t, []string{"all_1_1_0"}, map[string]string{"deduplication_log_1.txt": text})
		n, err := Mend(data)
		after := read(t, dir, "deduplication_log_1.txt")
		whole := text[:strings.LastIndexByte(text, '\n')+1]
		require.True(t, strings.HasPrefix(after, whole), "a whole line was changed")
		if err != nil {
			return
		}
		require.Equal(t, n, strings.Count(after, "\n")-strings.Count(whole, "\n"))
		n, err = Mend(data)
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

// BenchmarkMend is the most that a table has: two windows of ClickHouse's 10,000 inserts.
func BenchmarkMend(b *testing.B) {
	var log strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&log, "1\t20261130_%d_%d_0\t20261130_%d_8829361676861219376\n", i, i, i)
	}
	var parts []string
	for i := range 100 {
		parts = append(parts, fmt.Sprintf("20261130_%d_%d_3", i*200, i*200+199))
	}
	data, _ := table(b, parts, map[string]string{"deduplication_log_1.txt": log.String()})
	for b.Loop() {
		n, err := Mend(data)
		require.NoError(b, err)
		require.Zero(b, n)
	}
}
