-- Migration 3: parts of one insert are compact.
--
-- A wide part has a file for each column and index, about a hundred for spans, a compact one has two for all columns. An insert of a
-- full batch (32 MiB of JSON) was above ClickHouse's 10 MiB and so wide: with its merges it made and removed hundreds of files
-- a second, which on ext4 took more than a third of the time. What is merged beyond 128 MiB is wide as before, so that questions of
-- few columns read little.

ALTER TABLE {{database}}.otel_traces MODIFY SETTING min_bytes_for_wide_part = 134217728;
ALTER TABLE {{database}}.otel_logs MODIFY SETTING min_bytes_for_wide_part = 134217728;
ALTER TABLE {{database}}.otel_metrics_gauge MODIFY SETTING min_bytes_for_wide_part = 134217728;
ALTER TABLE {{database}}.otel_metrics_sum MODIFY SETTING min_bytes_for_wide_part = 134217728;
ALTER TABLE {{database}}.otel_metrics_histogram MODIFY SETTING min_bytes_for_wide_part = 134217728;
ALTER TABLE {{database}}.otel_metrics_exponential_histogram MODIFY SETTING min_bytes_for_wide_part = 134217728;
ALTER TABLE {{database}}.otel_metrics_summary MODIFY SETTING min_bytes_for_wide_part = 134217728;
