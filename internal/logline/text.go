// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"strings"
	"time"
)

const (
	// prefixBytes is how far into a line a level is looked for.
	prefixBytes = 256
	// prefixWords is how many words may stand between a time and the level.
	prefixWords = 5
)

// prefix reads the level and the time that stand at the beginning of a line of text.
func (p *Parser) prefix(line string) (severity Severity, text string, ns int64) {
	s := line
	if len(s) > prefixBytes {
		s = s[:prefixBytes]
	}
	if s == "" || s[0] == ' ' || s[0] == '\t' {
		return 0, "", 0
	}
	if severity, ns, ok := p.klog(s); ok {
		return severity, severity.String(), ns
	}
	if severity, ns, ok := p.rubyLogger(s); ok {
		return severity, severity.String(), ns
	}
	if len(s) > 3 && s[0] == '<' && s[1]-'0' < 8 && s[2] == '>' { // sd-daemon(3)
		severity := [...]Severity{Fatal, Error + 2, Error + 1, Error, Warn, Info + 1, Info, Debug}[s[1]-'0']
		return severity, severity.String(), 0
	}
	open := 0
	if s[0] == '[' {
		open = 1
	}
	ns, n := p.stamp(s[open:])
	if n > 0 && open+n < len(s) && !isWord(s[open+n]) {
		text = levelAfter(s[open+n:])
	} else {
		ns = 0
		if text = levelFirst(s); text != "" { // "INFO [2026-03-01 12:00:00.123 +0000] (shop): …"
			if i := strings.Index(s, text) + len(text); i < len(s) {
				ns, _ = p.stamp(strings.TrimLeft(s[i:], " \t[]:"))
			}
		}
	}
	if text == "" {
		text = levelPair(s)
	}
	return levelWord(text), text, ns
}

// klog reads I0102 15:04:05.000000 123 file.go:12] …, which has no year.
func (p *Parser) klog(s string) (severity Severity, ns int64, ok bool) {
	if len(s) < 22 || s[5] != ' ' || s[14] != '.' {
		return 0, 0, false
	}
	switch s[0] {
	case 'I':
		severity = Info
	case 'W':
		severity = Warn
	case 'E':
		severity = Error
	case 'F':
		severity = Fatal
	default:
		return 0, 0, false
	}
	month, ok1 := two(s[1:])
	day, ok2 := two(s[3:])
	clock, frac, n := clock(s[6:])
	if !ok1 || !ok2 || n == 0 || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, 0, false
	}
	// The year that brings it nearest to when the line was read: a line of 31 December may be read on 1 January.
	year := time.Unix(0, p.read).In(p.location).Year()
	for _, y := range [...]int{year, year - 1, year + 1} {
		ns = time.Date(y, time.Month(month), day, clock/3600, clock/60%60, clock%60, frac, p.location).UnixNano()
		if p.near(ns) {
			break
		}
	}
	return severity, ns, true
}

// rubyLogger reads E, [2026-03-01T12:00:00.123456 #7] ERROR -- : …
func (p *Parser) rubyLogger(s string) (severity Severity, ns int64, ok bool) {
	if len(s) < 25 || s[1:4] != ", [" {
		return 0, 0, false
	}
	switch s[0] {
	case 'D':
		severity = Debug
	case 'I':
		severity = Info
	case 'W':
		severity = Warn
	case 'E':
		severity = Error
	case 'F':
		severity = Fatal
	case 'A':
	default:
		return 0, 0, false
	}
	ns, n := p.stamp(s[4:])
	return severity, ns, n > 0 && ns != 0
}

// levelAfter finds the level behind a time: at once, or after words in brackets, numbers, signs and names that are set
// off by " - " or " | ". It returns the word, or nothing.
func levelAfter(s string) string {
	first := true
	for range prefixWords {
		n := 0
		for n < len(s) && strings.IndexByte(" \t-|:]),.", s[n]) >= 0 {
			n++
		}
		tab := n > 0 && s[n-1] == '\t'
		s = s[n:]
		if s == "" {
			return ""
		}
		closing := closer(s[0])
		if closing != 0 {
			s = s[1:]
		}
		if word, next := firstWord(s); plainLevelWord(word) != 0 {
			if closing != 0 || isUpper(word) || first && (next == ':' || next == '\t' || next == ']') || tab && next == '\t' {
				return word
			}
		}
		first = false
		end := 0
		if closing != 0 {
			if end = strings.IndexByte(s, closing); end < 0 {
				return ""
			}
			s = s[end+1:]
			continue
		}
		if end = strings.IndexAny(s, " \t"); end < 0 {
			return ""
		}
		if rest := s[end:]; isLetter(s[0]) && !strings.HasPrefix(rest, " - ") && !strings.HasPrefix(rest, " | ") && rest[0] != '\t' {
			return "" // a sentence has begun
		}
		s = s[end:]
	}
	return ""
}

// levelFirst finds a level that a line begins with: [warn], WARN …, warn: ….
func levelFirst(s string) string {
	closing := closer(s[0])
	if closing != 0 {
		word, _ := firstWord(s[1:])
		if rest := strings.TrimLeft(s[1+len(word):], " "); rest != "" && rest[0] == closing && plainLevelWord(word) != 0 {
			return word
		}
		return ""
	}
	if rest, ok := strings.CutPrefix(s, "npm "); ok {
		word, next := firstWord(rest)
		if plainLevelWord(word) != 0 && (next == ' ' || next == '!') {
			return word
		}
		return ""
	}
	word, next := firstWord(s)
	if plainLevelWord(word) == 0 {
		return ""
	}
	switch next {
	case ':':
		return word
	case ' ', '\t', '[', '|', ']', 0:
		if isUpper(word) {
			return word
		}
	}
	return ""
}

// levelPair finds level=… and lvl=… within a line.
func levelPair(s string) string {
	for _, name := range [...]string{"level=", "lvl="} {
		i := strings.Index(s, name)
		if i < 0 || i > 0 && isWord(s[i-1]) {
			continue
		}
		word, _ := firstWord(strings.TrimPrefix(s[i+len(name):], `"`))
		if levelWord(word) != 0 {
			return word
		}
	}
	return ""
}

// firstWord returns the letters at the beginning of s, and the byte behind them, 0 at the end. It returns no word when
// a digit or an underscore follows.
func firstWord(s string) (word string, next byte) {
	n := 0
	for n < len(s) && isLetter(s[n]) {
		n++
	}
	if n == len(s) {
		return s, 0
	}
	if isWord(s[n]) {
		return "", 0
	}
	return s[:n], s[n]
}

func closer(c byte) byte {
	switch c {
	case '[':
		return ']'
	case '(':
		return ')'
	case '<':
		return '>'
	}
	return 0
}

func isLetter(c byte) bool { return c|0x20-'a' < 26 }

func isUpper(s string) bool {
	for i := range len(s) {
		if s[i]-'A' >= 26 {
			return false
		}
	}
	return s != ""
}
