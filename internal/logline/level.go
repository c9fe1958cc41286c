// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

// Severity is a severity number of the OpenTelemetry log data model: 1 to 24, or 0 for none.
type Severity uint8

// Severities. Each name of the data model has four numbers; in between stand levels such as notice.
const (
	Trace Severity = 1
	Debug Severity = 5
	Info  Severity = 9
	Warn  Severity = 13
	Error Severity = 17
	Fatal Severity = 21
)

// String returns the name in the data model: TRACE, DEBUG, INFO, WARN, ERROR or FATAL, empty for none.
func (s Severity) String() string {
	if s == 0 || s > 24 {
		return ""
	}
	return [...]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}[(s-1)/4]
}

// longestLevel is the length of the longest level word.
const longestLevel = len("informational")

// levelWord returns the severity of a level word in any case, 0 for other words.
func levelWord(word string) Severity {
	if len(word) < 3 || len(word) > longestLevel {
		return 0
	}
	var buf [longestLevel]byte
	for i := range len(word) {
		c := word[i]
		if c-'A' < 26 {
			c |= 0x20
		}
		buf[i] = c
	}
	switch string(buf[:len(word)]) {
	case "trace", "trce", "trc", "silly", "finest", "finer":
		return Trace
	case "verbose", "vrb":
		return Trace + 3
	case "debug", "dbug", "dbg", "fine", "config":
		return Debug
	case "http":
		return Debug + 3
	case "info", "information", "informational", "inf":
		return Info
	case "notice":
		return Info + 1
	case "warn", "warning", "wrn":
		return Warn
	case "error", "err", "eror", "fail", "severe":
		return Error
	case "dpanic":
		return Error + 1
	case "alert":
		return Error + 2
	case "fatal", "ftl", "critical", "crit", "emerg", "emergency", "panic":
		return Fatal
	}
	return 0
}

// plainLevelWord is levelWord for text, without the words that mean something else there: "http: …", "fine: …".
// Some of them count in capitals.
func plainLevelWord(word string) Severity {
	switch word {
	case "http", "HTTP", "Http", "inf", "Inf", "fine", "Fine", "config", "Config", "finer", "finest":
		return 0
	}
	return levelWord(word)
}

// levelText reads a level such as "warn", "INFO+2" (log/slog) or "30" (pino as logfmt).
func levelText(s string) Severity {
	if severity := levelWord(s); severity != 0 {
		return severity
	}
	for i := range len(s) {
		if c := s[i]; c == '+' || c == '-' {
			base := levelWord(s[:i])
			n, rest := digits(s[i+1:])
			if base == 0 || rest != "" || n > 24 || i+1 == len(s) {
				return 0
			}
			// slog has a step of 4 between its levels, as the data model has.
			if c == '-' {
				n = -n
			}
			return Severity(min(max(int64(base)+n, 1), 24))
		}
	}
	if n, rest := digits(s); s != "" && rest == "" {
		return levelNumber(n)
	}
	return 0
}

// levelNumber reads the numbers of pino and bunyan: 10 is trace, 20 debug, … 60 fatal; in between are custom levels,
// and what is above 60 is fatal, too.
func levelNumber(n int64) Severity {
	if n < 10 || n > 100 {
		return 0
	}
	return Severity(min(n/10-1, 5)*4 + 1)
}

// digits reads a decimal number of up to 18 digits at the beginning of s.
func digits(s string) (n int64, rest string) {
	i := 0
	for i < len(s) && i < 18 && s[i]-'0' < 10 {
		n = n*10 + int64(s[i]-'0')
		i++
	}
	return n, s[i:]
}
