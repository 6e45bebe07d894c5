"""The fence of MLflow's database on a server: triggers that refuse the writes of a leader whose epoch is over.

MLflow's aliases say which version should serve, and a late write to them would look like a person's choice. So the
leader's sessions carry its epoch (`retraind.epoch`), and a new leader writes its own epoch to `retraind_home` before
its first query. A session without an epoch, such as that of a person, may always write. Each write also notifies the
leader.
"""

CHANNEL = "retraind_registry"
"""Where the triggers notify."""

OVER = "RT001"
"""The SQLSTATE of a refused write."""

FENCED = ("registered_model_aliases", "model_version_tags", "model_versions")
"""MLflow's tables with aliases, verdicts and descriptions."""

HOME = """
CREATE TABLE IF NOT EXISTS retraind_home (
    single boolean PRIMARY KEY DEFAULT true CHECK (single), home text NOT NULL, epoch bigint NOT NULL)"""

FUNCTION = f"""
CREATE OR REPLACE FUNCTION retraind_fence() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $fence$
DECLARE
    mine CONSTANT bigint := NULLIF(current_setting('retraind.epoch', true), '')::bigint;
    newest bigint;
BEGIN
    IF mine IS NOT NULL THEN
        -- The lock makes a new leader wait until this transaction ends, or this transaction see the new epoch.
        SELECT epoch INTO newest FROM retraind_home FOR SHARE;
        IF newest > mine THEN
            RAISE EXCEPTION 'epoch % is over, % leads', mine, newest USING ERRCODE = '{OVER}';
        END IF;
    END IF;
    PERFORM pg_notify('{CHANNEL}', '');
    RETURN NULL;
END $fence$"""

TRIGGER = """
CREATE OR REPLACE TRIGGER retraind_fence BEFORE INSERT OR UPDATE OR DELETE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION retraind_fence()"""

FENCES = f"""
SELECT count(*) AS fences FROM pg_trigger WHERE tgname = 'retraind_fence'
AND tgrelid IN ({", ".join(f"to_regclass('{table}')" for table in FENCED)})"""

END_READERS = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'relation' AND mode = 'RowShareLock' AND relation = to_regclass('retraind_home') AND granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()"""
"""Ends the transaction in which a stopped leader would keep the next one waiting."""

TAKE = """
UPDATE retraind_home SET home = $1, epoch = GREATEST(epoch, $2) WHERE home = '' OR home = $1 RETURNING epoch"""
"""Makes the epoch the newest one; no row if the database belongs to another home."""

STATEMENTS = (
    HOME,
    "INSERT INTO retraind_home (home, epoch) VALUES ('', 0) ON CONFLICT DO NOTHING",
    FUNCTION,
    *(TRIGGER.format(table=table) for table in FENCED),
)
"""Make everything, in one transaction."""
