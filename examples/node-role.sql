-- The rights of serving nodes, and no others. Run it as the role of the leader, after its first start, in the home's database (and schema):
--   psql --set ON_ERROR_STOP=1 --file node-role.sql postgresql://retraind@db.example/churn
-- The role exists already: CREATE ROLE retraind_node LOGIN PASSWORD '…'. Nodes of different homes need roles with different names.
BEGIN;
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO retraind_node', current_schema()); END $$;
-- The version to serve, and its row in the journal.
GRANT SELECT ON desired, versions TO retraind_node;
-- The node's own report. Its row is removed when it ends.
GRANT SELECT, INSERT, UPDATE, DELETE ON nodes TO retraind_node;
-- Logged predictions that it has put into the store.
GRANT SELECT, INSERT ON node_logs TO retraind_node;
COMMIT;
