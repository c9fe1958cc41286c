// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

const maxEnvFile = 1 << 20

// Variable is one of an environment.
type Variable struct{ Name, Value string }

// environ is the environment for the next start: that of the specification, the variables of the
// account it runs as, and what the file says now.
func (s Server) environ(account []Variable) ([]string, error) {
	variables := account
	if s.EnvFile != "" {
		read, err := readEnvFile(s.EnvFile)
		if err != nil {
			return nil, fmt.Errorf("env_file: %w", err)
		}
		variables = append(variables, read...)
	}
	own := map[string]string{}
	for _, v := range variables {
		if !slices.Contains(s.EnvFixed, v.Name) {
			own[v.Name] = v.Value
		}
	}
	if len(own) == 0 {
		return s.Env, nil
	}
	return Environ(s.Env, []string{"*"}, own, nil), nil
}

func readEnvFile(path string) ([]Variable, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxEnvFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxEnvFile)
	}
	variables, err := ParseEnvFile(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return variables, nil
}

// ParseEnvFile reads lines of the form NAME=value. Empty lines and lines that begin with # are skipped, and a
// leading "export " is, too. A value is everything to the end of the line without the white space around it; or it stands in
// quotation marks and may then have several lines. Within double ones \n, \r, \t, \\, \" and \$ are
// understood; nothing is within single ones. A comment behind a value needs white space before its #.
// Nothing is expanded. Errors name the line and never its content, which may be secret.
func ParseEnvFile(text string) ([]Variable, error) {
	var variables []Variable
	text = strings.TrimPrefix(text, "\uFEFF")
	for number := 1; text != ""; {
		line, rest, _ := strings.Cut(text, "\n")
		at := number
		number++
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || trimmed[0] == '#' {
			text = rest
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if after, found := strings.CutPrefix(name, "export"); found && after != strings.TrimSpace(after) {
			name = strings.TrimSpace(after)
		}
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\v\f\x00\"'#") {
			return nil, fmt.Errorf("line %d: must be NAME=value, a comment that begins with #, or empty", at)
		}
		value = strings.TrimLeft(value, " \t")
		if value != "" && (value[0] == '"' || value[0] == '\'') {
			start := len(text) - len(rest) - len(value)
			if len(rest) > 0 || strings.HasSuffix(text, "\n") {
				start-- // the line end
			}
			quoted, size, err := unquote(text[start:])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", at, err)
			}
			number += strings.Count(text[start:start+size], "\n")
			value, rest, _ = strings.Cut(text[start+size:], "\n")
			if value = strings.TrimSpace(value); value != "" && value[0] != '#' {
				return nil, fmt.Errorf("line %d: nothing but a comment may follow the closing quotation mark", at)
			}
			value = quoted
		} else {
			value = bare(value)
		}
		if strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("line %d: the value contains a NUL byte", at)
		}
		variables = append(variables, Variable{Name: name, Value: value})
		text = rest
	}
	return variables, nil
}

// bare returns a value without quotation marks, without comment.
func bare(value string) string {
	for i := range len(value) {
		if value[i] == '#' && (i == 0 || value[i-1] == ' ' || value[i-1] == '\t') {
			value = value[:i]
			break
		}
	}
	return strings.TrimSpace(value)
}

var errUnclosed = errors.New("the quotation mark is not closed")

// unquote reads the value that text begins with, and returns how long it is with its quotation marks.
func unquote(text string) (value string, size int, err error) {
	mark := text[0]
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == mark:
			return b.String(), i + 1, nil
		case c == '\\' && mark == '"' && i+1 < len(text):
			i++
			switch text[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			case '\\', '"', '$':
				b.WriteByte(text[i])
			default: // as it stands
				b.WriteByte('\\')
				b.WriteByte(text[i])
			}
		case c == '\r' && i+1 < len(text) && text[i+1] == '\n': // a file with CR LF
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, errUnclosed
}
