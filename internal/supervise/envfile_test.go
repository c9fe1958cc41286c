// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseEnvFile(t *testing.T) {
	got, err := ParseEnvFile(strings.Join([]string{
		"\uFEFF# comment", "", "  # another", "PLAIN=value", " SPACED = a b  ", "export EXPORTED=1", "exported=2", "EMPTY=", "EQUALS=a=b==",
		"COMMENT=a#b # c", "ONLY= # c", `SINGLE='a "b" \n $X # c' # d`, `DOUBLE="a 'b' \"c\" \\ \t \$X \x # d"`, "CRLF=x\r",
		"MULTI=\"one\r", "two\\nthree\"\r", "KEY='-----BEGIN", "abc", "-----END'", "LAST=no end of line",
	}, "\n"))
	require.NoError(t, err)
	assert.Equal(t, []Variable{
		{"PLAIN", "value"}, {"SPACED", "a b"}, {"EXPORTED", "1"}, {"exported", "2"}, {"EMPTY", ""}, {"EQUALS", "a=b=="},
		{"COMMENT", "a#b"}, {"ONLY", ""}, {"SINGLE", `a "b" \n $X # c`}, {"DOUBLE", "a 'b' \"c\" \\ \t $X \\x # d"}, {"CRLF", "x"},
		{"MULTI", "one\ntwo\nthree"}, {"KEY", "-----BEGIN\nabc\n-----END"}, {"LAST", "no end of line"},
	}, got)
}

func TestParseEnvFileNamesTheLineAndNotTheSecret(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\ngeheim":                       "line 2: must be NAME=value",
		"A='1\n2'\n=geheim":                 "line 3: must be NAME=value",
		"A B=geheim":                        "line 1: must be NAME=value",
		"A=1\nB=\"geheim\nC=2":              "line 2: the quotation mark is not closed",
		"A='geheim'geheim":                  "line 1: nothing but a comment may follow",
		"A=geheim\x00":                      "line 1: the value contains a NUL byte",
		"A=\"\\":                            "line 1: the quotation mark is not closed",
		"A='":                               "line 1: the quotation mark is not closed",
		"A='\n":                             "line 1: the quotation mark is not closed",
		"A='x'\n'B'=geheim":                 "line 2: must be NAME=value",
		"# c\n\nA=\"\n\n\"\nB='\n'\ngeheim": "line 8: must be NAME=value",
	} {
		_, err := ParseEnvFile(text)
		require.ErrorContains(t, err, want, "%q", text)
		assert.NotContains(t, err.Error(), "geheim")
	}
}

func FuzzParseEnvFile(f *testing.F) {
	f.Add("A=1\nexport B='x\ny' # c\nC=\"\\n\"\r\n")
	f.Add("A='\n")
	f.Fuzz(func(t *testing.T, text string) {
		variables, err := ParseEnvFile(text)
		if err != nil {
			return
		}
		for _, v := range variables {
			if v.Name == "" || strings.ContainsAny(v.Name, "= \x00\n") || strings.ContainsRune(v.Value, 0) {
				t.Fatalf("%q: %q", text, v)
			}
			// What was read can be written and read again.
			again, err := ParseEnvFile(v.Name + "=\"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(v.Value) + "\"")
			if err != nil || len(again) != 1 || again[0] != v {
				t.Fatalf("%q: %q became %q, %v", text, v, again, err)
			}
		}
	})
}

func TestEnvFileIsReadAtEachStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	spec := Server{Env: []string{"INJECTED=1", "OWN=own", "PATH=/bin"}, EnvFixed: []string{"OWN"}, EnvFile: file}
	_, err := spec.environ(nil)
	require.ErrorContains(t, err, "env_file: open "+file)
	require.NoError(t, os.WriteFile(file, []byte("INJECTED=2\nOWN=2\nNEW=2\n"), 0o600))
	env, err := spec.environ(nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"INJECTED=2", "NEW=2", "OWN=own", "PATH=/bin"}, env)
	env, err = spec.environ([]Variable{{"HOME", "/home/x"}, {"OWN", "x"}, {"NEW", "x"}})
	require.NoError(t, err)
	assert.Equal(t, []string{"HOME=/home/x", "INJECTED=2", "NEW=2", "OWN=own", "PATH=/bin"}, env)
	require.NoError(t, os.WriteFile(file, []byte("geheim"), 0o600))
	_, err = spec.environ(nil)
	require.ErrorContains(t, err, "env_file: "+file+": line 1: must be")
	require.NoError(t, os.WriteFile(file, make([]byte, maxEnvFile+1), 0o600))
	_, err = spec.environ(nil)
	require.ErrorContains(t, err, "has more than 1048576 bytes")
}
