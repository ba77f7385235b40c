-- Users with no more rights than they need, for a ClickHouse server of your own. Not among the migrations: the embedded
-- ClickHouse (chDB) has no users and cannot run this. The tests only parse it; it was NOT RUN before it was shipped.
-- Replace the passwords, and `streamgauge` where your database has another name; then, as a user who may make users:
--
--   clickhouse-client --multiquery < users.sql
--
-- streamgauge_admin: `streamgauge db init`, once and after upgrades. streamgauge_writer: run, watch, audit, rebuild,
-- deadletters. streamgauge_reader: Grafana, analysts, `streamgauge query`.

CREATE DATABASE IF NOT EXISTS streamgauge;

-- Reads tables, views and what they cost; changes nothing. With readonly = 2 a client may set limits of its own, as
-- Grafana's plugin and `streamgauge query` do.
CREATE ROLE IF NOT EXISTS streamgauge_reads;
GRANT SELECT ON streamgauge.* TO streamgauge_reads;
GRANT SELECT ON system.columns TO streamgauge_reads;
GRANT SELECT ON system.databases TO streamgauge_reads;
GRANT SELECT ON system.parts TO streamgauge_reads;
GRANT SELECT ON system.tables TO streamgauge_reads;

CREATE SETTINGS PROFILE IF NOT EXISTS streamgauge_reading SETTINGS
    readonly = 2,
    max_execution_time = 60 MAX 300,
    max_memory_usage = 8000000000 MAX 16000000000;

-- Adds rows and removes none. A rebuild computes in two databases of its own, which it makes and drops.
CREATE ROLE IF NOT EXISTS streamgauge_writes;
GRANT SELECT, INSERT ON streamgauge.* TO streamgauge_writes;
GRANT SELECT ON system.columns TO streamgauge_writes;
GRANT SELECT ON system.databases TO streamgauge_writes;
GRANT SELECT ON system.tables TO streamgauge_writes;
GRANT CREATE DATABASE, DROP DATABASE, CREATE TABLE, DROP TABLE, SELECT, INSERT
    ON streamgauge_rebuild.* TO streamgauge_writes;
GRANT CREATE DATABASE, DROP DATABASE, CREATE TABLE, DROP TABLE, SELECT, INSERT
    ON streamgauge_rebuild_readings.* TO streamgauge_writes;

-- Brings the tables to the schema and sets retention.
CREATE ROLE IF NOT EXISTS streamgauge_manages;
GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE, SELECT, INSERT
    ON streamgauge.* TO streamgauge_manages;
GRANT SELECT ON system.columns TO streamgauge_manages;
GRANT SELECT ON system.databases TO streamgauge_manages;
GRANT SELECT ON system.parts TO streamgauge_manages;
GRANT SELECT ON system.tables TO streamgauge_manages;

CREATE USER IF NOT EXISTS streamgauge_reader
    IDENTIFIED WITH sha256_password BY 'change-me-reader'
    DEFAULT DATABASE streamgauge
    SETTINGS PROFILE 'streamgauge_reading';

CREATE USER IF NOT EXISTS streamgauge_writer
    IDENTIFIED WITH sha256_password BY 'change-me-writer'
    DEFAULT DATABASE streamgauge;

CREATE USER IF NOT EXISTS streamgauge_admin
    IDENTIFIED WITH sha256_password BY 'change-me-admin'
    DEFAULT DATABASE streamgauge;

GRANT streamgauge_reads TO streamgauge_reader;
GRANT streamgauge_writes TO streamgauge_writer;
GRANT streamgauge_manages TO streamgauge_admin;
