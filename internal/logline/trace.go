// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import "strings"

// verdict says whether a line belongs to the trace before it.
type verdict uint8

const (
	no verdict = iota
	// maybe: only if one of the next lines does. Such a line is not shown as part of the trace before that is known.
	maybe
	yes
)

// state is where in a stack trace the last line was.
type state uint8

const (
	sHead    state = iota // one line that anything may follow
	sError                // the message of an error, which may have several lines
	sAt                   // frames of Node, Java, .NET
	sAtProps              // the properties of a Node error, behind its frames
	sAtBlank
	sJavaHead // an exception below the line that logged it
	sNodePath // file:line of an uncaught error
	sNodeSource
	sNodeCaret
	sNodeThrown
	sPython
	sPythonEnd
	sPythonBlank
	sPythonChain
	sPythonGroup // an exception group, which has no line behind its frames
	sGoHead
	sGoBlank
	sGo
	sGoCall
	sRuby
	sDotnetLog // an entry of the console logger: its lines are indented
	sRustHead
	sRustMessage
	sRust
	sEnd // nothing follows
)

// maxMaybe bounds how many lines in a row are in doubt.
const maxMaybe = 8

// start returns the state after a line that begins something.
func start(line string) state {
	switch {
	case isTraceback(line):
		return pythonState(line)
	case strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "SIGQUIT: "):
		return sGoHead
	case isGoroutine(line):
		return sGo
	case strings.HasPrefix(line, "thread '") && strings.Contains(line, " panicked at "):
		return sRustHead
	case isNodePath(line):
		return sNodePath
	case isRubyFrame(line):
		return sRuby
	case isDotnetLog(line):
		return sDotnetLog
	case isAt(line):
		return sAt
	case isError(line):
		return sError
	}
	return sHead
}

// follow says whether line belongs to a trace that head began and that has come to state s, and to what state it
// brings the trace.
func follow(s state, head, line string) (verdict, state) {
	switch s {
	case sHead, sError:
		return followHead(s, head, line)
	case sAt, sAtProps, sAtBlank:
		return followAt(s, line)
	case sJavaHead:
		if isAt(line) {
			return yes, sAt
		}
		if line == "" {
			return no, s
		}
		return maybe, s
	case sNodePath, sNodeSource, sNodeCaret, sNodeThrown:
		return followNode(s, line)
	case sPython, sPythonEnd, sPythonBlank, sPythonChain, sPythonGroup:
		return followPython(s, line)
	case sGoHead, sGoBlank, sGo, sGoCall:
		return followGo(s, line)
	case sRuby:
		if isRubyFrom(line) || isRubyFrame(line) || isMore(line) {
			return yes, sRuby
		}
	case sDotnetLog:
		if isIndented(line) {
			return yes, s
		}
	case sRustHead, sRustMessage, sRust:
		return followRust(s, head, line)
	}
	return no, s
}

func followHead(s state, head, line string) (verdict, state) {
	switch {
	case head == "" || line == "" && s == sHead || line != "" && line[0] == '{':
		return no, s
	case isAt(line):
		if head[0] == '{' || isIndented(head) && !isError(head) {
			return no, s
		}
		return yes, atState(line)
	case strings.HasPrefix(line, " ---> "):
		return yes, sAt
	case isRubyFrom(line):
		if strings.Contains(head, ":in ") {
			return yes, sRuby
		}
		return no, s
	case isIndented(line) && s != sError:
		return no, s
	case isRubyFrame(line):
		if strings.Contains(head, ":in ") || isSevere(head) {
			return yes, sRuby
		}
	case isTraceback(line):
		if isSevere(head) {
			return yes, pythonState(line)
		}
		return no, s
	case isGoroutine(line):
		if isSevere(head) || strings.Contains(head, "panic") {
			return yes, sGo
		}
		return no, s
	case isJavaException(line) && isSevere(head):
		return maybe, sJavaHead
	}
	if s == sError && start(line) == sHead && levelOf(line) == 0 {
		return maybe, sError
	}
	return no, s
}

func followAt(s state, line string) (verdict, state) {
	switch {
	case (isAt(line) || isMore(line)) && s == sAtProps:
		return yes, s // of a cause
	case isAt(line) || isMore(line):
		return yes, atState(line)
	case strings.HasPrefix(line, "Caused by: ") || strings.HasPrefix(line, "Wrapped by: ") || strings.HasPrefix(line, " ---> "):
		return yes, sAt
	case strings.HasPrefix(line, "Node.js v"):
		return yes, sEnd
	case strings.HasPrefix(line, "--- End of stack trace") || strings.HasPrefix(line, "Emitted 'error' event"):
		return yes, sAt
	case s == sAtBlank:
		return no, s
	case isIndented(line):
		rest := strings.TrimLeft(line, " \t")
		if s == sAtProps || strings.HasPrefix(rest, "Suppressed: ") || strings.HasPrefix(rest, "Caused by: ") ||
			strings.HasPrefix(rest, "--- End of") || strings.HasPrefix(rest, "[cause]: ") || rest == "}" {
			return yes, s
		}
		return no, s
	case s == sAtProps && (line == "}" || line == "]" || line == "},"):
		return yes, sAt
	case line == "":
		return maybe, sAtBlank
	}
	return no, s
}

// atState looks for the brace that opens the properties of a Node error.
func atState(line string) state {
	if strings.HasSuffix(line, " {") {
		return sAtProps
	}
	return sAt
}

// followNode is for what Node prints of an uncaught error: file:line, the source, a caret, a blank line, the error.
func followNode(s state, line string) (verdict, state) {
	switch s {
	case sNodePath:
		return maybe, sNodeSource
	case sNodeSource:
		if line != "" && strings.Trim(line, " \t^") == "" {
			return yes, sNodeCaret
		}
		return no, s
	case sNodeCaret:
		if line == "" {
			return yes, sNodeCaret
		}
		return yes, sNodeThrown
	}
	switch {
	case isAt(line):
		return yes, atState(line)
	case strings.HasPrefix(line, "Node.js v"):
		return yes, sEnd
	case strings.HasPrefix(line, "(Use `node --trace"):
		return yes, sNodeThrown
	}
	return maybe, sNodeThrown
}

func followPython(s state, line string) (verdict, state) {
	switch s {
	case sPythonGroup:
		if isIndented(line) {
			return yes, s
		}
		return no, s
	case sPythonEnd, sPythonBlank:
		if strings.HasPrefix(line, "During handling of the above exception") || strings.HasPrefix(line, "The above exception was the direct") {
			return yes, sPythonChain
		}
		if s == sPythonEnd && isIndented(line) {
			return yes, s
		}
		if line == "" {
			return maybe, sPythonBlank
		}
		return no, s
	case sPythonChain:
		if line == "" {
			return maybe, s
		}
		if isTraceback(line) {
			return yes, pythonState(line)
		}
		return no, s
	}
	switch {
	case line == "":
		return maybe, sPython
	case isIndented(line):
		return yes, sPython
	case isPythonError(line):
		return yes, sPythonEnd
	}
	return no, s
}

func followGo(s state, line string) (verdict, state) {
	switch {
	case isGoroutine(line):
		return yes, sGo
	case s == sGoCall:
		if line != "" && line[0] == '\t' {
			return yes, sGo
		}
		return no, s
	case line == "":
		if s == sGo {
			return maybe, sGo
		}
		return maybe, sGoBlank
	case strings.HasPrefix(line, "[signal ") || strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "\tpanic: ") ||
		strings.HasPrefix(line, "runtime: ") || strings.HasPrefix(line, "PC="):
		return yes, s
	case s == sGoHead:
		if line[0] == '\t' {
			return yes, s
		}
		return maybe, s // a message of several lines
	case s == sGoBlank:
		if strings.HasPrefix(line, "runtime stack:") {
			return yes, sGo
		}
		return no, s
	case line[0] == '\t' || strings.HasPrefix(line, "...") && strings.HasSuffix(line, "elided..."):
		return yes, s
	case strings.HasPrefix(line, "exit status "):
		return yes, sEnd
	case strings.HasPrefix(line, "created by ") || isGoCall(line):
		return maybe, sGoCall
	case isRegister(line):
		return yes, s
	}
	return no, s
}

func followRust(s state, head, line string) (verdict, state) {
	if strings.HasPrefix(line, "note: ") {
		return yes, s
	}
	if line == "stack backtrace:" {
		return yes, sRust
	}
	switch s {
	case sRustHead:
		if strings.HasSuffix(head, ":") { // since 1.73 the message is on a line of its own
			return yes, sRustMessage
		}
	case sRustMessage, sRust:
		if isIndented(line) {
			return yes, s
		}
	}
	return no, s
}
