-- name: tally
SELECT name, source, key, n, sample FROM tally ORDER BY name, source, key

-- name: people
SELECT count(DISTINCT profile) FROM node WHERE months & ?1 AND profile > 0
