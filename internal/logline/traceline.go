// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import "strings"

func isIndented(line string) bool { return line != "" && (line[0] == ' ' || line[0] == '\t') }

func isAt(line string) bool {
	if !isIndented(line) {
		return false
	}
	frame, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), "at ")
	return ok && strings.ContainsAny(frame, "(:.<")
}

// isMore matches … 12 more, … 12 common frames omitted, … 8 levels…
func isMore(line string) bool {
	return isIndented(line) && strings.HasPrefix(strings.TrimLeft(line, " \t"), "... ")
}

func isTraceback(line string) bool {
	return strings.HasPrefix(line, "Traceback (most recent call last):") ||
		strings.HasPrefix(line, "  + Exception Group Traceback (most recent call last):")
}

func pythonState(traceback string) state {
	if isIndented(traceback) {
		return sPythonGroup
	}
	return sPython
}

func isGoroutine(line string) bool {
	return strings.HasPrefix(line, "goroutine ") && strings.HasSuffix(line, "]:") && strings.Contains(line, " [")
}

// isGoCall matches main.(*T).method(0x1, 0x2): no space before the arguments.
func isGoCall(line string) bool {
	if line[len(line)-1] != ')' || isIndented(line) {
		return false
	}
	open := strings.IndexByte(line, '(')
	return open > 0 && strings.IndexByte(line[:open], ' ') < 0 && (strings.IndexByte(line[:open], '.') > 0 || line[:open] == "panic")
}

// isRegister matches a line of a dump of registers, such as "rax    0x0".
func isRegister(line string) bool {
	n := strings.IndexByte(line, ' ')
	return n > 0 && n < 7 && strings.HasPrefix(strings.TrimLeft(line[n:], " "), "0x")
}

func isRubyFrom(line string) bool {
	return isIndented(line) && strings.HasPrefix(strings.TrimLeft(line, " \t"), "from ") && strings.Contains(line, ":in ")
}

// isRubyFrame matches /app/a.rb:12:in 'call', also with a number before it.
func isRubyFrame(line string) bool {
	i := strings.Index(line, ":in ")
	return i > 0 && i+4 < len(line) && (line[i+4] == '`' || line[i+4] == '\'') && line[i-1]-'0' < 10 && strings.IndexByte(line[:i], ' ') < 0
}

// isNodePath matches file:///app/a.mjs:3, /app/a.js:3 and node:internal/errors:540.
func isNodePath(line string) bool {
	if len(line) < 4 || line[len(line)-1]-'0' > 9 || strings.IndexByte(line, ' ') >= 0 {
		return false
	}
	rest := strings.TrimRight(line, "0123456789")
	if rest == "" || rest[len(rest)-1] != ':' {
		return false
	}
	return line[0] == '/' || strings.HasPrefix(line, "file:///") || strings.HasPrefix(line, "node:")
}

// isDotnetLog matches "info: Microsoft.Hosting.Lifetime[14]".
func isDotnetLog(line string) bool {
	if len(line) < 8 || line[4] != ':' || line[5] != ' ' || line[len(line)-1] != ']' {
		return false
	}
	switch line[:4] {
	case "trce", "dbug", "info", "warn", "fail", "crit":
		return strings.IndexByte(line[6:], ' ') < 0 && strings.IndexByte(line[6:], '[') > 0
	}
	return false
}

// isError matches what errors are printed as: "TypeError: …", "Uncaught Error: …", "java.io.IOException: …",
// "Exception in thread …", "Unhandled exception. …", "Trace: …" (of console.trace).
func isError(line string) bool {
	end := strings.IndexByte(line, ':')
	if end < 0 || end > prefixBytes {
		end = min(len(line), prefixBytes)
	}
	head := line[:end]
	if strings.Contains(head, "Error") || strings.Contains(head, "Exception") || strings.Contains(head, "xception.") || head == "Trace" {
		return true
	}
	return strings.Contains(head, "Unhandled")
}

// isJavaException matches a qualified class name of an exception at the beginning of a line.
func isJavaException(line string) bool {
	n, dots := 0, 0
	for n < len(line) && (isWord(line[n]) || line[n] == '.' || line[n] == '$') {
		if line[n] == '.' {
			dots++
		}
		n++
	}
	return dots > 0 && (n == len(line) || line[n] == ':') &&
		(strings.HasSuffix(line[:n], "Exception") || strings.HasSuffix(line[:n], "Error") || strings.HasSuffix(line[:n], "Throwable"))
}

// isPythonError matches the last line of a traceback: a name, and a message after a colon.
func isPythonError(line string) bool {
	n := 0
	for n < len(line) && (isWord(line[n]) || line[n] == '.' || line[n] >= 0x80) {
		n++
	}
	return n > 0 && line[0]-'0' > 9 && (n == len(line) || line[n] == ':')
}

// levelOf reads the level in the prefix of a line.
func levelOf(line string) Severity {
	var p Parser
	p.location = utc
	severity, _, _ := p.prefix(line)
	return severity
}

// isSevere says whether a line announces an error by its level or its words.
func isSevere(line string) bool { return levelOf(line) >= Warn || isError(line) }
