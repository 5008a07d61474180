# Ruby's mysql2; environment as in README.md.
require 'mysql2'

client = Mysql2::Client.new(
  host: '127.0.0.1', port: ENV['PORT'].to_i, username: ENV['USER_NAME'],
  password: ENV['USER_PASSWORD'], database: 'clinical', encoding: 'utf8mb4',
  sslca: ENV['CA_FILE'], ssl_mode: :required
)
File.readlines(File.join(__dir__, 'reads.sql'), chomp: true, encoding: 'utf-8').each do |sql|
  puts "#{sql} #{client.query(sql).to_a.inspect}"
end
statement = client.prepare('SELECT term, narrative FROM adverse_events WHERE subject_id = ? ORDER BY event_id')
(17..19).each { |subject| puts "prepared #{statement.execute(subject).to_a.inspect}" }
statement.close
begin
  client.query('SELECT * FROM no_such_table')
rescue Mysql2::Error => e
  puts "failing read #{e.error_number} #{e.sql_state}"
end
begin
  client.query('DELETE FROM forms')
  puts 'WRITE WENT THROUGH'
rescue Mysql2::Error
  puts 'write refused'
end
puts "still here #{client.query('SELECT COUNT(*) FROM forms').to_a.inspect}"
streamed = 0
client.query('SELECT * FROM lab_results', stream: true, cache_rows: false).each { streamed += 1 }
puts "streamed #{streamed}"
puts "ping #{client.ping}"
client.select_db('information_schema')
client.close
