-- How much the log has: the bytes of all payloads from the log's beginning, as it was when this column
-- came, to the end of the block. Null in blocks that were full before.
alter table blocks add column bytes integer;
